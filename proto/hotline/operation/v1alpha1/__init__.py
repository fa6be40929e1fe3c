"""Generated code of `hotline.operation.v1alpha1`; see proto/README.md."""
