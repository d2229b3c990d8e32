// MeshPrimitivesTests: one file for each type of MeshPrimitives. Accesses beyond bounds stop the process, so they have
// no tests here.
