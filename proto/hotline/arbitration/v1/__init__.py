"""Generated code of `hotline.arbitration.v1`; see proto/README.md."""
