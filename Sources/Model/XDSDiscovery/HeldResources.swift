import MeshModel
import XDSSchema

/// A compiled resource with the bytes that it was made of. A class: thousands of them are walked after each event, and
/// their values are large.
final class Held<Value> {
    let value: Value
    let bytes: [UInt8]
    let version: String

    init(value: Value, bytes: [UInt8] = [], version: String = "") {
        (self.value, self.bytes, self.version) = (value, bytes, version)
    }
}

/// A resource in force, and the one that waits to take its place.
struct Warmed<Value> {
    private(set) var active: Held<Value>?
    /// The last active one that was taken up; the same object as `active` where there is nothing newer.
    private var confirmed: Held<Value>?
    private(set) var warming: Held<Value>?
    /// Where the bootstrap has it; nil: it came over the stream.
    private let order: Int?

    init() { order = nil }

    init(staticValue: Value, order: Int) {
        warming = Held(value: staticValue)
        self.order = order
    }

    var isStatic: Bool { order != nil }

    func forBoth(_ body: (Held<Value>) -> Void) {
        if let active { body(active) }
        if let warming { body(warming) }
    }

    /// nil is impossible: an entry is made when its first resource comes.
    var newest: (bytes: [UInt8]?, version: String) {
        let held = warming ?? active
        return (held?.bytes, held?.version ?? "")
    }

    mutating func warm(_ held: Held<Value>) { warming = held }

    mutating func promote() {
        guard let warming else { return }
        active = warming
        self.warming = nil
    }

    mutating func confirm() { confirmed = active }

    /// It came over the stream, and has not been taken up as it is.
    var isReplaceable: Bool { !isStatic && active !== confirmed }

    /// Back to what was taken up last. What warms is of the same making as what is active, or newer: it goes too.
    /// False if nothing is left.
    mutating func revert() -> Bool {
        (active, warming) = (confirmed, nil)
        return active != nil
    }

    /// Static ones in their order, then the others by name.
    static func inForce(_ entries: [String: Warmed]) -> [Held<Value>] {
        var fixed: [(order: Int, held: Held<Value>)] = []
        var others: [(name: String, held: Held<Value>)] = []
        for (name, entry) in entries {
            guard let active = entry.active else { continue }
            if let order = entry.order {
                fixed.append((order, active))
            } else {
                others.append((name, active))
            }
        }
        fixed.sort { $0.order < $1.order }
        others.sort { $0.name < $1.name }
        var held: [Held<Value>] = []
        held.reserveCapacity(fixed.count + others.count)
        for entry in fixed { held.append(entry.held) }
        for entry in others { held.append(entry.held) }
        return held
    }
}

/// The resources of one response while it is read.
struct ResponseBatch {
    enum Value {
        case cluster(CompiledCluster)
        case endpoints(Assignment)
        case listener(CompiledListener)
        case routes(RouteConfiguration)
        case secret(SecretValue)
        case manifest(SignedManifest)
    }

    struct Resource {
        var name: String
        var bytes: [UInt8]
        var value: Value
    }

    let kind: ResourceKind
    let version: String
    /// New and changed ones that are good.
    var resources: [Resource] = []
    /// Of all resources, good and bad.
    var names: Set<String> = []
    private(set) var isRefusedAsWhole = false
    private var reasons: [String] = []

    /// Bytes of a refusal's text at most: it travels in a header's worth of space, and is logged.
    private static let reasonBytesMax = 8192

    init(kind: ResourceKind, version: String) { (self.kind, self.version) = (kind, version) }

    mutating func refuse(_ name: String, _ problems: [String], asWhole: Bool = false) {
        if asWhole { isRefusedAsWhole = true }
        names.insert(name)
        reasons += problems.map { "\(kind.word) '\(name)': \($0)" }
    }

    /// What to answer; nil if everything is good.
    var refusal: String? {
        guard !reasons.isEmpty else { return nil }
        var text = ""
        for (index, reason) in reasons.enumerated() {
            if text.utf8.count + reason.utf8.count > Self.reasonBytesMax, index > 0 {
                return text + "; and \(reasons.count - index) more"
            }
            text += (index == 0 ? "" : "; ") + reason
        }
        return text
    }
}
