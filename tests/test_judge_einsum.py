"""Every einsum string that opt_einsum, NumPy and JAX document: value, VJP, JVP, Jacobian and Hessian against JAX."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import einad as ea

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")

TEXT = """
a,->a ab,->ab ,ab,->ab ,,-> a,ab,abc->abc a,b,ab->ab ea,fb,gc,hd,abcd->efgh ea,fb,abcd,gc,hd->efgh
abcd,ea,fb,gc,hd->efgh acdf,jbje,gihb,hfac,gfac,gifabc,hfac cd,bdhe,aidb,hgca,gc,hgibcd,hgac
abhe,hidj,jgba,hiab,gab bde,cdh,agdb,hica,ibd,hgicd,hiac chd,bde,agbc,hiad,hgc,hgi,hiad
chd,bde,agbc,hiad,bdi,cgh,agdb bdhe,acad,hiab,agac,hibd ab,ab,c-> ab,ab,c->c ab,ab,cd,cd-> ab,ab,cd,cd->ac
ab,ab,cd,cd->cd ab,ab,cd,cd,ef,ef-> ab,cd,ef->abcdef ab,cd,ef->acdf ab,cd,de->abcde ab,cd,de->be
ab,bcd,cd->abcd ab,bcd,cd->abd eb,cb,fb->cef dd,fb,be,cdb->cef bca,cdb,dbf,afc-> dcc,fce,ea,dbf->ab
fdf,cdd,ccd,afe->ae abcd,ad ed,fcd,ff,bcf->be baa,dcf,af,cde->be bd,db,eac->ace fff,fae,bef,def->abd
efc,dbc,acf,fd->abe ab,ab ab,ba abc,abc abc,bac abc,cba ab,bc ab,cb ba,bc ba,cb abcd,cd abcd,ab abcd,cdef
abcd,cdef->feba abcd,efdc aab,bc->ac ab,bcc->ac aab,bcc->ac baa,bcc->ac aab,ccb->ac aab,fa,df,ecc->bde
ecb,fef,bad,ed->ac bcf,bbb,fbf,fc-> bb,ff,be->e bcb,bb,fc,fff-> fbb,dfd,fc,fc-> afd,ba,cc,dc->bf
adb,bc,fa,cfc->d bbd,bda,fc,db->acf dba,ead,cad->bce aef,fbc,dca->bde ii ii->i ii-> ij->ji ij-> ij->i i,i
i,i-> ij,j ij,j->i i,j i,j->ij ijk,jil->kl ji ij,jk,kl->il ...j,j ...j,j->... ...i->... i...->...
ki,...k->i... k...,jk ...ii->... ij...,jk...->ik... ij,kj->ik bij,bjk->bik bhsd,bhtd->bhst i,i,i->i
"""
SPECS = TEXT.split()

SIZES = dict(zip("abcdefghijklmst", [2, 3, 2, 1, 2, 3, 2, 2, 2, 3, 2, 2, 2, 2, 3], strict=True))
SIZES["k"] = 2


def arrays(spec: str) -> list[np.ndarray]:
    """Random operands for a spec; the ellipsis stands for one axis of size 2."""
    rng = np.random.default_rng(len(spec))
    terms = spec.split("->", maxsplit=1)[0].split(",")
    shapes = [[SIZES[c] for c in term.replace("...", "k" if "k" not in term else "m")] for term in terms]
    return [rng.standard_normal(shape) for shape in shapes]


@pytest.mark.parametrize("spec", SPECS)
def test_einsum_against_jax(spec: str) -> None:
    operands = arrays(spec)
    rng = np.random.default_rng(1)
    value = np.einsum(spec, *operands)
    cotangent = rng.standard_normal(value.shape)
    tangents = [rng.standard_normal(x.shape) for x in operands]

    def everything(np_like: Any, lib: Any) -> Any:
        def f(*xs: Any) -> Any:
            return np_like.einsum(spec, *xs)

        def loss(x: Any) -> Any:
            return np_like.sum(f(x, *operands[1:]) ** 2) / 2

        out, pullback = lib.vjp(f, *operands)
        _, dot = lib.jvp(f, tuple(operands), tuple(tangents))
        return out, pullback(cotangent), dot, lib.jacobian(f)(*operands), lib.hessian(loss)(operands[0])

    with jax.enable_x64(True):
        expected = jax.tree.leaves(jax.jit(lambda: everything(jnp, jax))())
        found = jax.tree.leaves(everything(np, ea))
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
