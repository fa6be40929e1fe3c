"""Generated code of `hotline.hub.v1alpha1`; see proto/README.md."""
