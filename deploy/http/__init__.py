"""The HTTP application: routes, bodies and problems. It knows the router, but neither Ray nor the machine."""
