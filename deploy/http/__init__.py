"""The HTTP application: routes, bodies and what is said when a request fails. It knows the router, and neither Ray nor the
machine."""
