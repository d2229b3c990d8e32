import MeshModel
import XDSSchema

// envoy.config.accesslog.v3
extension ResourceCompiler {
    mutating func accessLog(_ node: ConfigNode) -> AccessLog? {
        guard let config = node.child(XDS.AccessLog.typedConfig) else {
            add("is missing", at: node, XDS.AccessLog.typedConfig)
            return nil
        }
        var log: AccessLog
        switch config.type {
        case XDS.FileAccessLog.messageType:
            typealias F = XDS.FileAccessLog
            log = AccessLog(destination: .file(config.message.text(F.path)))
            if config.message.has(F.format) {
                log.format = textFormat(config.message.text(F.format), at: config, F.format)
            } else if let format = config.child(F.logFormat) {
                log.format = self.format(format)
            }
        case XDS.StdoutAccessLog.messageType:
            log = AccessLog(destination: .stdout)
            if let format = config.child(XDS.StdoutAccessLog.logFormat) { log.format = self.format(format) }
        case XDS.StderrAccessLog.messageType:
            log = AccessLog(destination: .stderr)
            if let format = config.child(XDS.StderrAccessLog.logFormat) { log.format = self.format(format) }
        case XDS.MartletCountedLog.messageType:
            log = AccessLog(destination: .stdout)
            log.isWritten = false
        default:
            add("the type '\(config.type.name)' is not supported here", at: config)
            return nil
        }
        log.filter = node.child(XDS.AccessLog.filter).flatMap { filter($0) }
        return log
    }

    private mutating func format(_ node: ConfigNode) -> AccessLog.Format {
        typealias F = XDS.SubstitutionFormatString
        if let source = node.child(F.textFormatSource) {
            guard let bytes = data(source) else { return .standard }
            guard let text = String(validating: bytes, as: UTF8.self) else {
                add("is not UTF-8", at: node, F.textFormatSource)
                return .standard
            }
            return textFormat(text, at: node, F.textFormatSource)
        }
        if let structure = node.child(F.jsonFormat) { return .json(jsonObject(structure)) }
        return textFormat(node.message.text(F.textFormat), at: node, F.textFormat)
    }

    /// An empty format is Envoy's default line.
    private mutating func textFormat(_ text: String, at node: ConfigNode, _ number: FieldNumber)
        -> AccessLog.Format
    {
        checkFormat(text, at: node, number)
        return text.isEmpty ? .standard : .text(text)
    }

    private mutating func jsonObject(_ node: ConfigNode) -> JSONFormat {
        .object(
            node.entries(XDS.Struct.fields).map { JSONFormat.Member(key: $0.key, value: jsonValue($0.node)) })
    }

    private mutating func jsonValue(_ node: ConfigNode) -> JSONFormat {
        typealias F = XDS.Value
        if let structure = node.child(F.structValue) { return jsonObject(structure) }
        if let list = node.child(F.listValue) {
            return .list(list.children(XDS.ListValue.values).map { jsonValue($0) })
        }
        if node.message.has(F.stringValue) {
            let text = node.message.text(F.stringValue)
            checkFormat(text, at: node, nil)
            return .format(text)
        }
        if node.message.has(F.numberValue) { return .number(node.message.double(F.numberValue)) }
        return node.message.has(F.boolValue) ? .bool(node.message.bool(F.boolValue)) : .null
    }

    private mutating func filter(_ node: ConfigNode) -> AccessLogFilter? {
        typealias F = XDS.AccessLogFilter
        if let status = node.child(F.statusCodeFilter)?.child(XDS.StatusCodeFilter.comparison) {
            let (operation, value) = comparison(status)
            return .status(operation, value)
        }
        if let duration = node.child(F.durationFilter)?.child(XDS.DurationFilter.comparison) {
            let (operation, value) = comparison(duration)
            return .duration(operation, value)
        }
        if node.message.has(F.notHealthCheckFilter) { return .notHealthCheck }
        if let all = node.child(F.andFilter) {
            return .all(all.children(XDS.AndFilter.filters).compactMap { filter($0) })
        }
        if let any = node.child(F.orFilter) {
            return .any(any.children(XDS.OrFilter.filters).compactMap { filter($0) })
        }
        if let header = node.child(F.headerFilter)?.child(XDS.HeaderFilter.header) {
            guard let match = headerMatch(header) else { return nil }
            if case .string(let string) = match.test { refuseRegex(string, at: header) }
            return .header(match)
        }
        if let flags = node.child(F.responseFlagFilter) {
            let names = flags.message.texts(XDS.ResponseFlagFilter.flags)
            for name in names where !Self.responseFlags.contains(name) {
                add("'\(name)' is not a response flag", at: flags, XDS.ResponseFlagFilter.flags)
            }
            return .responseFlags(names)
        }
        return nil
    }

    private mutating func comparison(_ node: ConfigNode) -> (AccessLogFilter.Comparison, UInt32) {
        typealias F = XDS.ComparisonFilter
        let operations: [AccessLogFilter.Comparison] = [.equal, .greaterOrEqual, .lessOrEqual, .notEqual]
        let operation = operations[Int(clamping: node.message.enumerated(F.op)) % operations.count]
        guard let value = node.message.message(F.value) else { return (operation, 0) }
        if case .number(let number) = surroundings.runtime[value.text(XDS.RuntimeUInt32.runtimeKey)] {
            if let whole = UInt32(exactly: number) { return (operation, whole) }
            add(
                "its runtime key has the value \(number), which is not from 0 to 4294967295", at: node,
                F.value)
        }
        return (operation, UInt32(clamping: value.unsigned(XDS.RuntimeUInt32.defaultValue)))
    }

    private static let responseFlags: Set<String> = [
        "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX",
        "SI",
        "IH", "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR",
    ]
}
