// RegularExpressions: RE2 as one value: the syntax that Envoy's API names, matching in time linear in the text, and a
// bound on what a pattern may cost. Nobody else sees the library.
