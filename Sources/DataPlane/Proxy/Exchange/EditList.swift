import HTTPModel
import MeshPrimitives

/// What a message's head is changed by on its way through: names whose fields go, and fields that are added. Reused for
/// every message of a worker; the views in it live as long as the head and the worker's scratch buffer are untouched.
struct EditList: ~Copyable {
    /// Known names that go, as bits.
    private(set) var dropMask: UInt64 = 0
    /// Other names that go.
    private(set) var dropNames = PlainList<ByteView>()
    private(set) var additions = PlainList<Addition>(minimumCapacity: 32)
    /// Fields that steer a proxy and have no bit.
    var controls = Controls.kept
    /// Bytes of the added lines.
    private(set) var addedBytes = 0

    struct Addition: BitwiseCopyable {
        let name: ByteView
        let value: ByteView
        let known: FieldName
    }

    /// Which of Envoy's fields that steer a proxy go.
    enum Controls: UInt8, BitwiseCopyable {
        case kept
        /// Those that the router acts on.
        case ofRouter
        /// Those that count from internal callers only as well.
        case ofOutside
        /// Those that nobody says who comes from outside of the mesh as well.
        case ofEdge
    }

    mutating func reset(dropping mask: UInt64) {
        controls = .kept
        dropMask = mask
        dropNames.removeAll()
        additions.removeAll()
        addedBytes = 0
    }

    static func mask(_ names: [FieldName]) -> UInt64 { names.reduce(0) { $0 | $1.bit } }

    mutating func drop(_ name: FieldName) { dropMask |= name.bit }

    mutating func keep(_ name: FieldName) { dropMask &= ~name.bit }

    mutating func drop(_ name: FieldName, _ text: ByteView) {
        if name != .other { return drop(name) }
        dropNames.append(text)
    }

    mutating func add(_ name: FieldName, _ value: ByteView) {
        add(name, name.text, value)
    }

    mutating func add(_ name: ByteView, _ value: ByteView) {
        add(FieldName(name), name, value)
    }

    mutating func add(_ known: FieldName, _ name: ByteView, _ value: ByteView) {
        additions.append(Addition(name: name, value: value, known: known))
        addedBytes &+= Self.lineBytes(name, value)
    }

    /// Name, colon, space, value, CRLF.
    private static func lineBytes(_ name: ByteView, _ value: ByteView) -> Int {
        name.count &+ value.count &+ 4
    }

    /// Takes back what was added under that name.
    mutating func removeAdditions(_ name: ByteView) {
        // A look is quicker than the call below, and there is seldom one.
        for index in additions.indices where additions[index].name.equalsIgnoringCase(name) {
            return removeAdditions { $0.equalsIgnoringCase(name) }
        }
    }

    mutating func removeAdditions(where isUnwanted: (ByteView) -> Bool) {
        if additions.isEmpty { return }
        additions.removeAll { isUnwanted($0.name) }
        addedBytes = 0
        for index in additions.indices {
            addedBytes += Self.lineBytes(additions[index].name, additions[index].value)
        }
    }

    /// Of a name that has a bit.
    func adds(_ name: FieldName) -> Bool {
        for index in additions.indices where additions[index].known == name { return true }
        return false
    }

    @inline(__always)
    func drops(_ field: Field, in bytes: ByteView) -> Bool {
        field.isConnectionOption || removes(field, in: bytes)
    }

    /// The same without a look at what `Connection` says.
    @inline(__always)
    func removes(_ field: Field, in bytes: ByteView) -> Bool {
        dropMask & field.name.bit != 0 || (field.name == .other && removesOther(field, in: bytes))
    }

    /// A field whose name has no bit.
    @inline(__always)
    func removesOther(_ field: Field, in bytes: ByteView) -> Bool {
        // No control is shorter than `x-envoy-ip-tags`; longer names of callers mostly differ in their second byte.
        if field.nameCount >= 15, controls != .kept, bytes[Int(field.nameStart) + 1] == UInt8(ascii: "-"),
            dropsControl(field, in: bytes)
        {
            return true
        }
        return !dropNames.isEmpty && dropsName(field, in: bytes)
    }
}

extension EditList {
    @inline(never)
    private func dropsName(_ field: Field, in bytes: ByteView) -> Bool {
        let name = bytes[Int(field.nameStart)..<(Int(field.nameStart) + Int(field.nameCount))]
        for index in dropNames.indices where dropNames[index].equalsIgnoringCase(name) { return true }
        return false
    }

    /// Envoy's retry state and router take these out of every request, its connection manager those of `ofOutside` and
    /// `ofEdge` (Envoy's documentation, "HTTP header manipulation").
    @inline(never)
    private func dropsControl(_ field: Field, in bytes: ByteView) -> Bool {
        let start = Int(field.nameStart)
        let name = bytes[start..<(start + Int(field.nameCount))]
        switch name.count {
        case 15: return controls >= .ofOutside && name.equalsLowercased("x-envoy-ip-tags")
        case 19: return controls >= .ofOutside && name.equalsLowercased("x-envoy-force-trace")
        case 20: return controls >= .ofOutside && name.equalsLowercased("x-envoy-original-url")
        case 21: return controls >= .ofEdge && name.equalsLowercased("x-envoy-original-host")
        case 30:
            return name.equalsLowercased("x-envoy-retriable-header-names")
                || name.equalsLowercased("x-envoy-upstream-alt-stat-name")
        case 31: return controls >= .ofEdge && name.equalsLowercased("x-envoy-downstream-service-node")
        case 32: return name.equalsLowercased("x-envoy-hedge-on-per-try-timeout")
        case 34: return controls >= .ofEdge && name.equalsLowercased("x-envoy-downstream-service-cluster")
        case 40: return name.equalsLowercased("x-envoy-upstream-rq-timeout-alt-response")
        default: return false
        }
    }
}

extension EditList.Controls: Comparable {
    static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// How names of fields are written in HTTP/1.1 (envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat).
enum NameCase: UInt8, BitwiseCopyable {
    /// As Envoy does where nothing is said.
    case lower
    /// As they came.
    case kept
    /// `Content-Type`
    case proper
}

extension PooledBuffer {
    /// The lines of `head` that `edits` leaves, then the added ones. false if there is no room for all of it.
    mutating func append(
        _ head: borrowing @_addressable MessageHead, _ bytes: ByteView, editedBy edits: borrowing EditList,
        names: NameCase
    ) -> Bool {
        // One look at the room, as if nothing were dropped, then copies without looking.
        guard room >= bytes.count &- Int(head.fieldsStart) &+ edits.addedBytes &+ 2,
            var writer = unsafe writer
        else { return false }
        for index in 0..<head.count {
            let field = head.field(index)
            if edits.drops(field, in: bytes) { continue }
            let line = bytes[Int(field.nameStart)..<Int(field.lineEnd)]
            if names == .kept {
                unsafe writer.put(line)
            } else {
                unsafe writer.putLowercased(line, upTo: Int(field.nameCount))
            }
        }
        for index in edits.additions.indices {
            unsafe writer.put(edits.additions[index].name)
            unsafe writer.put(0x3a, 0x20)
            unsafe writer.put(edits.additions[index].value)
            unsafe writer.put(0x0d, 0x0a)
        }
        unsafe writer.put(0x0d, 0x0a)
        let start = count
        unsafe commit(writer)
        if names == .proper { capitalizeNames(from: start) }
        return true
    }

    /// Copies `bytes` behind the readable ones; a view of the copy, or an empty one if there is no room.
    mutating func store(_ bytes: ByteView) -> ByteView {
        let start = count
        return append(bytes) ? view.dropFirst(start) : ByteView("")
    }

    mutating func store(decimal number: Int) -> ByteView {
        // Most numbers in heads have one digit, which need not be stored.
        if number >= 0, number < 10 { return ByteView("0123456789")[number..<(number &+ 1)] }
        let start = count
        return append(decimal: max(number, 0)) ? view.dropFirst(start) : ByteView("")
    }
}
