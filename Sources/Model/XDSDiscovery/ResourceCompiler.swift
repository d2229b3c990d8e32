import MeshModel
import MeshPrimitives
import Telemetry
import TrafficPolicy
import XDSSchema

/// What a configuration may refer to outside of itself. Files are read when the resource is compiled.
public struct ConfigSurroundings: Sendable {
    /// The content of a file, or why it cannot be read.
    public var readFile: @Sendable (_ path: String) -> Result<[UInt8], FileProblem>
    public var environment: @Sendable (_ name: String) -> String?
    /// Values of runtime keys from static layers.
    public var runtime: [String: RuntimeValue]
    /// Secrets that need no subscription: those of the bootstrap, and those that the proxy makes itself.
    public var secrets: [String: SecretValue]

    public struct FileProblem: Error, Sendable {
        public var text: String

        public init(_ text: String) { self.text = text }
    }

    public init(
        readFile: @escaping @Sendable (_ path: String) -> Result<[UInt8], FileProblem>,
        environment: @escaping @Sendable (_ name: String) -> String? = { _ in nil },
        runtime: [String: RuntimeValue] = [:],
        secrets: [String: SecretValue] = [:]
    ) {
        (self.readFile, self.environment, self.runtime, self.secrets) = (
            readFile, environment, runtime, secrets
        )
    }
}

/// envoy.extensions.transport_sockets.tls.v3.Secret, checked.
public enum SecretValue: Sendable, Equatable {
    case identity(KeyMaterial)
    case validation(Validation)

    public struct Validation: Sendable, Equatable {
        public var trustBundlePEM: [UInt8]?
        public var subjectNames: [SubjectNameMatch] = []
        public var certificateHashes: [String] = []

        public init(trustBundlePEM: [UInt8]? = nil) { self.trustBundlePEM = trustBundlePEM }
    }
}

/// Turns messages into values of the model. A problem is added and the walk goes on, so that all are
/// reported; whoever asked for a resource throws the result away if there were any.
struct ResourceCompiler {
    var problems: ConfigProblems
    let surroundings: ConfigSurroundings
    /// Secrets met that have to be fetched, and how long to wait for each; the surroundings' are not among
    /// them.
    var secretNames: [String: Duration] = [:]
    /// Clusters that routes with `validate_clusters` name.
    var clusterReferences: [ClusterReference] = []

    /// Lists of conditions that were fine, by their text: most routes have the same, and share it.
    var conditionLists: [String: [String]] = [:]

    /// The last route's, which the next one shares if it has the same.
    var lastRetryPolicy = Rare<RetryPolicy>(wrappedValue: nil)

    // What was made last of messages without fault: one that stands in a text a thousand times is one message
    // (`sharesRepeats`), and so is what becomes of it.
    typealias Source = SharedStorage<ConfigField>
    var lastRetrySource: Source?
    var lastMatch: (source: Source, match: RouteMatch)?
    var lastLimits: (source: Source, normal: Limits, high: Limits, perHostConnections: UInt32?)?
    var lastLocalities:
        (list: SharedStorage<ConfigValue>, allowsNames: Bool, localities: [LocalityEndpoints])?

    struct ClusterReference {
        var cluster: String
        /// Where it stands; the text of the way there is made only for a problem.
        var node: ConfigNode
        var field: FieldNumber
    }

    /// Unless `initial_fetch_timeout` says else.
    static let fetchTimeout = Duration.seconds(15)

    init(surroundings: ConfigSurroundings, problems: ConfigProblems = ConfigProblems()) {
        (self.surroundings, self.problems) = (surroundings, problems)
    }

    mutating func add(_ text: String, at node: ConfigNode, _ number: FieldNumber? = nil) {
        problems.add(text, path: node.pathText(number), at: node.position(number))
    }

    /// Refuses every field that is set and not among these: the API has it, but it has no meaning in this
    /// place.
    mutating func allow(_ numbers: [FieldNumber], in node: ConfigNode, _ place: String) {
        for field in node.message.fields where !numbers.contains(field.number) {
            add("not supported \(place); remove it", at: node, field.number)
        }
    }

    /// nil for zero, which means no limit.
    func limit(_ duration: Duration?, default fallback: Duration?) -> Duration? {
        guard let duration else { return fallback }
        return duration > .zero ? duration : nil
    }

    mutating func address(_ node: ConfigNode?, of parent: ConfigNode, _ number: FieldNumber) -> SocketAddress?
    {
        guard let socket = node?.child(XDS.Address.socketAddress) else {
            add("is missing", at: parent, number)
            return nil
        }
        let text = socket.message.text(XDS.SocketAddress.address)
        let port = UInt16(clamping: socket.message.unsigned(XDS.SocketAddress.portValue))
        guard let address = SocketAddress(text, port: port) else {
            add("'\(text)' is not a numeric address", at: socket, XDS.SocketAddress.address)
            return nil
        }
        return address
    }

    mutating func range(_ node: ConfigNode) -> AddressRange? {
        let text = node.message.text(XDS.CidrRange.addressPrefix)
        guard let address = SocketAddress(text, port: 0) else {
            add("'\(text)' is not a numeric address", at: node, XDS.CidrRange.addressPrefix)
            return nil
        }
        let length = node.message.wrappedUnsigned(XDS.CidrRange.prefixLen) ?? 0
        guard length <= (address.family == .ipv4 ? 32 : 128) else {
            add("\(length) bits are more than the address has", at: node, XDS.CidrRange.prefixLen)
            return nil
        }
        return AddressRange(address: address, prefixLength: Int(length))
    }

    /// The bytes that a DataSource names; nil if there are none, which was reported.
    mutating func data(_ node: ConfigNode) -> [UInt8]? {
        let message = node.message
        if message.has(XDS.DataSource.filename) {
            let path = message.text(XDS.DataSource.filename)
            switch surroundings.readFile(path) {
            case .success(let bytes): return bytes
            case .failure(let problem):
                add("cannot read '\(path)': \(problem.text)", at: node, XDS.DataSource.filename)
                return nil
            }
        }
        if message.has(XDS.DataSource.inlineBytes) { return message.bytes(XDS.DataSource.inlineBytes) }
        if message.has(XDS.DataSource.inlineString) {
            return Array(message.text(XDS.DataSource.inlineString).utf8)
        }
        let name = message.text(XDS.DataSource.environmentVariable)
        guard let value = surroundings.environment(name) else {
            add("the environment has no '\(name)'", at: node, XDS.DataSource.environmentVariable)
            return nil
        }
        return Array(value.utf8)
    }

    /// How long to wait for what comes from here; nil and a problem unless it is the ADS stream.
    mutating func adsTimeout(_ node: ConfigNode?, of parent: ConfigNode, _ number: FieldNumber) -> Duration? {
        guard let node, node.message.has(XDS.ConfigSource.ads) else {
            add("needs 'ads: {}'; other sources are not supported", at: parent, number)
            return nil
        }
        return node.message.duration(XDS.ConfigSource.initialFetchTimeout) ?? Self.fetchTimeout
    }

    mutating func fraction(_ node: ConfigNode?) -> Fraction? {
        guard let node else { return nil }
        var fraction = Fraction.none
        if let value = node.child(XDS.RuntimeFractionalPercent.defaultValue) { fraction = percent(value) }
        let key = node.message.text(XDS.RuntimeFractionalPercent.runtimeKey)
        if !key.isEmpty { fraction.runtimeKey = key }
        return fraction
    }

    /// martlet.v1.Policy.Mode
    func mode(_ number: Int32) -> PolicyMode { number == 1 ? .shadow : .enforce }

    func percent(_ node: ConfigNode) -> Fraction {
        let denominators: [UInt32] = [100, 10_000, 1_000_000]
        let index = Int(node.message.enumerated(XDS.FractionalPercent.denominator))
        return Fraction(
            numerator: UInt32(clamping: node.message.unsigned(XDS.FractionalPercent.numerator)),
            denominator: index < denominators.count ? denominators[index] : 100)
    }

    /// Removals first, then additions, as Envoy applies them.
    mutating func headerEdits(
        _ node: ConfigNode, add addNumber: FieldNumber, remove removeNumber: FieldNumber?
    ) -> [HeaderEdit] {
        var edits: [HeaderEdit] = []
        if let removeNumber {
            for name in node.message.texts(removeNumber) {
                if isProtected(name) { add("'\(name)' may not be removed", at: node, removeNumber) }
                edits.append(.remove(name: name.lowercased()))
            }
        }
        for option in node.children(addNumber) { if let edit = headerEdit(option) { edits.append(edit) } }
        return edits
    }

    mutating func headerEdit(_ option: ConfigNode) -> HeaderEdit? {
        guard let header = option.child(XDS.HeaderValueOption.header) else { return nil }
        let name = header.message.text(XDS.HeaderValue.key)
        let value = header.message.text(XDS.HeaderValue.value)
        if isProtected(name) { add("'\(name)' may not be changed", at: header, XDS.HeaderValue.key) }
        checkFormat(value, at: header, XDS.HeaderValue.value)
        let actions: [HeaderEdit.AppendAction] = [
            .appendOrAdd, .addIfAbsent, .overwriteOrAdd, .overwriteIfExists,
        ]
        let index = Int(option.message.enumerated(XDS.HeaderValueOption.appendAction))
        var action = index < actions.count ? actions[index] : .appendOrAdd
        if let append = option.message.wrappedBool(XDS.HeaderValueOption.append) {
            if option.message.has(XDS.HeaderValueOption.appendAction) {
                add(
                    "only one of 'append' and 'append_action' may be set", at: option,
                    XDS.HeaderValueOption.append)
            }
            action = append ? .appendOrAdd : .overwriteOrAdd
        }
        return .set(
            name: name.lowercased(), value: value, action: action,
            keepsEmpty: option.message.bool(XDS.HeaderValueOption.keepEmptyValue))
    }

    /// Pseudo-headers and what frames a message.
    func isProtected(_ name: String) -> Bool {
        let lower = name.lowercased()
        return lower.hasPrefix(":")
            || ["host", "content-length", "transfer-encoding", "connection"].contains(lower)
    }

    /// A format string: text, `%%`, `%OPERATOR%` and `%OPERATOR(arguments):length%`.
    mutating func checkFormat(_ text: String, at node: ConfigNode, _ number: FieldNumber?) {
        guard text.contains("%") else { return }
        do throws(FormatError) {
            _ = try AccessLogFormat(text: text)
        } catch {
            add("\(error.description); write '%%' for a percent sign", at: node, number)
        }
    }
}
