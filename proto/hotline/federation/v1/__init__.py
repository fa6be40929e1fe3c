"""Generated code of `hotline.federation.v1`; see proto/README.md."""
