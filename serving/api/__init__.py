"""What clients touch: connections, routes, the gRPC servicer, pages and caller identity."""
