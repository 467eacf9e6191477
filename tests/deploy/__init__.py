"""What is deployed: the image, the containers beside it, the cluster, and what Grafana is given."""
