// HTTPModel: the head of an HTTP message as plain data: a flat index into bytes that somebody else holds. Both
// codecs produce it (HTTP/2 writes its fields in the form of HTTP/1.1 first), so that everything above them reads
// one shape. It parses nothing and owns no memory.
