// MeshPrimitivesTests: to come.
