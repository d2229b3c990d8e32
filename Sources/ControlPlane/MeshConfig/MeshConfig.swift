// MeshConfig: what operators write, from YAML text to a checked specification.
//
// `YAMLParser` turns bytes into nodes that know their line and column. `Fields` reads typed values out of a node and
// collects every error with its place. `ResourceReader` makes resources of documents, `MeshSpecification` checks a
// whole set against itself (references, duplicates, ports), and `PolicyIndex` answers which setting is in force for
// a service or a route rule. The target is pure: it opens no files and reads no clock; `ResourceStore` brings the
// bytes, `ConfigCompiler` turns the result into xDS.
