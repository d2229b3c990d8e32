import HTTPModel
import Testing

@testable import ProxyAdmin

@Suite("Admin messages")
struct AdminMessageTests {
    @Test("A target is taken apart and decoded")
    func target() throws {
        let request = try #require(
            AdminRequest(method: .head, target: "/stats%2fx?filter=a%7Cb+c&usedonly&empty=&eq=a=b&&"))
        #expect(request.method == .get && request.path == "/stats/x")
        #expect(request.value("filter") == "a|b+c")
        #expect(request.has("usedonly") && request.value("usedonly") == "")
        #expect(request.value("eq") == "a=b" && request.value("empty") == "" && !request.has("other"))
        #expect(request.query.count == 4)
    }

    @Test("Broken encodings are no request", arguments: ["/%", "/%4", "/%zz", "/a?b=%", "/%ff"])
    func broken(_ target: String) {
        #expect(AdminRequest(method: .get, target: target) == nil)
    }
}
