"""Generated code of `hotline.federation`; see proto/README.md."""
