"""Generated code of `hotline.routing.v1`; see proto/README.md."""
