"""The console: what its pages show, who may see them, and how they stay fresh. Routes are in `api/routes`."""
