// MeshConfigTests: to come.
