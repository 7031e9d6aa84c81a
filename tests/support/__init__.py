"""What tests share: servers, registries, waiting, ports and the wire in process."""
