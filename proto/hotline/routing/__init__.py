"""Generated code of `hotline.routing`; see proto/README.md."""
