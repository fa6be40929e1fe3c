"""Generated code of `hotline.arbitration.v1alpha1`; see proto/README.md."""
