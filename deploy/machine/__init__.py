"""The machine that a cluster runs on: its processes, ports, files, environment, and HAProxy."""
