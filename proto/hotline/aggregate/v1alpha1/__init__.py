"""Generated code of `hotline.aggregate.v1alpha1`; see proto/README.md."""
