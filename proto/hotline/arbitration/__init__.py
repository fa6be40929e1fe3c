"""Generated code of `hotline.arbitration`; see proto/README.md."""
