// MeshConfig: to come.
