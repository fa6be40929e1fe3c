"""The gRPC server: interceptors, the access matrix, the one place that maps errors."""
