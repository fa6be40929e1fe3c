"""Generated code of `hotline.peer`; see proto/README.md."""
