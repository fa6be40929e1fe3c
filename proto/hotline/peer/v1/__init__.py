"""Generated code of `hotline.peer.v1`; see proto/README.md."""
