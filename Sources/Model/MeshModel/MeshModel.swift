// MeshModel: to come.
