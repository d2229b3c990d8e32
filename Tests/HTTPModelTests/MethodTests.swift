import HTTPModel
import MeshPrimitives
import Testing

struct MethodTests {
    static let tokens: [(StaticString, Method)] = [
        ("GET", .get), ("HEAD", .head), ("POST", .post), ("PUT", .put), ("DELETE", .delete),
        ("CONNECT", .connect),
        ("OPTIONS", .options), ("TRACE", .trace), ("PATCH", .patch), ("get", .other), ("GETS", .other),
        ("", .other),
        ("PROPFIND", .other), ("PUR", .other), ("PRI", .other),
    ]

    @Test("Methods are known by their exact names")
    func tokens() {
        for (token, method) in Self.tokens { #expect(Method(ByteView(token)) == method) }
    }

    @Test("Safe methods are idempotent, and so are PUT and DELETE")
    func properties() {
        #expect(Method.allCases.filter(\.isSafe) == [.get, .head, .options, .trace])
        #expect(Method.allCases.filter(\.isIdempotent) == [.get, .head, .put, .delete, .options, .trace])
    }
}
