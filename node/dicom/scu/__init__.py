"""Store, request storage commitment, and check a destination: the services that this node uses as SCU."""
