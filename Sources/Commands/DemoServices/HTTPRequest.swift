/// The fields of a message, in the order in which they came.
struct HTTPFields: Sendable {
    var list: [(name: String, value: String)] = []

    /// The first value under this name, in whichever case it is written.
    subscript(name: String) -> String? {
        list.first { $0.name.lowercased() == name }?.value
    }

    mutating func append(_ name: String, _ value: String) { list.append((name, value)) }
}

struct HTTPRequest: Sendable {
    var method: String
    var path: String
    var query: [String: String] = [:]
    var fields = HTTPFields()
    var body: [UInt8] = []
    var wantsClose = false

    init(method: String, target: String) {
        self.method = method
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        path = String(parts[0])
        guard parts.count == 2 else { return }
        for pair in parts[1].split(separator: "&") {
            let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            query[String(sides[0])] = sides.count == 2 ? String(sides[1]) : ""
        }
    }
}
