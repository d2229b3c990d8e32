import HTTPModel
import MeshPrimitives

/// What a message's head is changed by on its way through: names whose fields go, and fields that are added. Reused for
/// every message of a worker; the views in it live as long as the head and the worker's scratch buffer are untouched.
struct EditList {
    /// Known names that go, as bits.
    private(set) var dropMask: UInt64 = 0
    /// Other names that go.
    private(set) var dropNames: [ByteView] = []
    private(set) var additions: [Addition] = []

    struct Addition {
        let name: ByteView
        let value: ByteView
    }

    mutating func reset(dropping mask: UInt64) {
        dropMask = mask
        dropNames.removeAll(keepingCapacity: true)
        additions.removeAll(keepingCapacity: true)
    }

    static func mask(_ names: [FieldName]) -> UInt64 { names.reduce(0) { $0 | 1 << UInt64($1.rawValue) } }

    mutating func drop(_ name: FieldName) { dropMask |= 1 << UInt64(name.rawValue) }

    mutating func drop(_ name: FieldName, _ text: ByteView) {
        if name != .other { return drop(name) }
        dropNames.append(text)
    }

    mutating func add(_ name: FieldName, _ value: ByteView) {
        additions.append(Addition(name: name.text, value: value))
    }
    mutating func add(_ name: ByteView, _ value: ByteView) {
        additions.append(Addition(name: name, value: value))
    }

    /// Takes back what was added under that name.
    mutating func removeAdditions(_ name: ByteView) {
        additions.removeAll { $0.name.equalsIgnoringCase(name) }
    }

    func addsField(_ name: ByteView) -> Bool { additions.contains { $0.name.equalsIgnoringCase(name) } }

    func drops(_ field: Field, in bytes: ByteView) -> Bool {
        if field.isConnectionOption || dropMask & (1 << UInt64(field.name.rawValue)) != 0 { return true }
        if field.name != .other || dropNames.isEmpty { return false }
        let name = bytes[Int(field.nameStart)..<(Int(field.nameStart) + Int(field.nameCount))]
        return dropNames.contains { $0.equalsIgnoringCase(name) }
    }
}

extension PooledBuffer {
    /// The lines of `head` that `edits` leaves, in runs as long as they come, then the added ones. Names keep their case
    /// where `keepsCase`, else they come out in lower case, as Envoy sends them.
    mutating func append(
        _ head: borrowing @_addressable MessageHead, _ bytes: ByteView, editedBy edits: borrowing EditList,
        keepsCase: Bool
    ) -> Bool {
        let begin = count
        var isWhole = true
        var start = Int(head.fieldsStart)
        var end = start
        for index in 0..<head.count {
            let field = head.field(index)
            if edits.drops(field, in: bytes) {
                isWhole = append(bytes[start..<Int(field.nameStart)]) && isWhole
                start = Int(field.lineEnd)
            }
            end = Int(field.lineEnd)
        }
        if end > start { isWhole = append(bytes[start..<end]) && isWhole }
        if !keepsCase, isWhole { lowercaseNames(head, bytes, editedBy: edits, from: begin) }
        for addition in edits.additions {
            isWhole =
                append(addition.name) && append(": ") && append(addition.value) && append("\r\n") && isWhole
        }
        return append("\r\n") && isWhole
    }

    private mutating func lowercaseNames(
        _ head: borrowing @_addressable MessageHead, _ bytes: ByteView, editedBy edits: borrowing EditList,
        from begin: Int
    ) {
        var place = begin
        for index in 0..<head.count {
            let field = head.field(index)
            if edits.drops(field, in: bytes) { continue }
            lowercase(place..<(place + Int(field.nameCount)))
            place += Int(field.lineEnd) - Int(field.nameStart)
        }
    }

    /// Copies `bytes` behind the readable ones; a view of the copy, or an empty one if there is no room.
    mutating func store(_ bytes: ByteView) -> ByteView {
        let start = count
        return append(bytes) ? view.dropFirst(start) : ByteView("")
    }

    mutating func store(decimal number: Int) -> ByteView {
        let start = count
        return append(decimal: max(number, 0)) ? view.dropFirst(start) : ByteView("")
    }
}
