// MeshPrimitives: the values that everything else is written in: instants, views of bytes, pooled buffers, slabs
// of records, socket addresses and seeded randomness. It makes no system call but `malloc`, reads no clock and
// knows no protocol. Memory that the compiler cannot check is handled here, behind small safe types.
