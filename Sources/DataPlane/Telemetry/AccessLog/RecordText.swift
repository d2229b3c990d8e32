import MeshPrimitives

extension ExchangeRecord {
    /// Appends the value of an operator that only the record knows.
    func append(_ kind: OperatorKind, _ texts: ExchangeTexts, to output: inout LogBuffer) -> RenderedValue {
        switch kind {
        case .duration: return Self.append(milliseconds: ended, to: &output)
        case .requestDuration: return Self.append(milliseconds: requestReceived, to: &output)
        case .requestTxDuration: return Self.append(milliseconds: requestSent, to: &output)
        case .responseDuration: return Self.append(milliseconds: responseReceived, to: &output)
        case .responseTxDuration:
            guard responseReceived >= 0, responseSent >= 0 else { return .missing }
            return Self.append(milliseconds: max(0, responseSent - responseReceived), to: &output)
        case .bytesReceived: return Self.append(number: bytesReceived, to: &output)
        case .bytesSent: return Self.append(number: bytesSent, to: &output)
        case .requestHeaderBytes: return Self.append(number: UInt64(requestHeadBytes), to: &output)
        case .responseHeaderBytes: return Self.append(number: UInt64(responseHeadBytes), to: &output)
        case .responseCode: return Self.append(number: UInt64(status), to: &output)
        case .attemptCount: return Self.append(number: UInt64(attemptCount), to: &output)
        case .retryReasons, .retryRefusal, .shadowDecisions: return appendRetries(kind, to: &output)
        case .connectionID: return Self.append(number: connectionID, to: &output)
        case .protocolName: return Self.append(name: downstreamProtocol.text, to: &output)
        case .upstreamProtocol: return Self.append(name: upstreamProtocol.text, to: &output)
        case .tlsVersion: return Self.append(name: downstreamTLS.text, to: &output)
        case .responseCodeDetails: return appendDetails(texts, to: &output)
        case .upstreamFailure: return Self.append(failure: texts.upstreamFailure, to: &output)
        case .responseFlags, .responseFlagsLong:
            appendFlags(isLong: kind == .responseFlagsLong, to: &output)
            return .text
        case .routeName: return Self.append(text: texts.route, to: &output)
        case .virtualHostName: return Self.append(text: texts.virtualHost, to: &output)
        case .upstreamCluster: return Self.append(text: texts.cluster, to: &output)
        case .peerURISAN, .peerDNSSAN, .peerSubject, .peerIssuer, .peerSerial, .peerFingerprint,
            .peerCertificate, .localURISAN, .localDNSSAN, .localSubject, .tlsCipher, .tlsSessionID:
            return Self.append(text: texts.ofTLS(kind), to: &output)
        case .serverName: return Self.append(text: texts.requestedServerName, to: &output)
        case .hostname: return Self.append(text: texts.hostname, to: &output)
        case .localReplyBody:
            // Empty where the answer is not ours, and never a dash.
            output.append(texts.localReplyBody)
            return .text
        case .streamID: return appendRequestID(texts, to: &output)
        case .traceID:
            guard !traceID.isNone else { return .missing }
            output.append(hexadecimal: traceID.high)
            output.append(hexadecimal: traceID.low)
            return .text
        case .spanID:
            guard spanID != 0 else { return .missing }
            output.append(hexadecimal: spanID)
            return .text
        case .grpcStatus, .grpcStatusSnake, .grpcStatusNumber: return appendGRPCStatus(kind, to: &output)
        case .requestField, .responseField, .trailerField, .startTime, .emitTime, .peerValidFrom,
            .peerValidUntil, .connectionTerminationDetails, .absent:
            return .missing
        case .upstreamHost, .upstreamHostAlone, .upstreamHostPort, .upstreamLocal, .upstreamLocalAlone,
            .upstreamLocalPort, .downstreamRemote, .downstreamRemoteAlone, .downstreamRemotePort,
            .downstreamDirect, .downstreamDirectAlone, .downstreamDirectPort, .downstreamLocal,
            .downstreamLocalAlone, .downstreamLocalPort:
            return appendAddress(kind, to: &output)
        }
    }

    private enum AddressPart { case whole, alone, port }

    private func appendAddress(_ kind: OperatorKind, to output: inout LogBuffer) -> RenderedValue {
        let (address, part): (SocketAddress?, AddressPart) =
            switch kind {
            case .upstreamHost: (upstreamHost, .whole)
            case .upstreamHostAlone: (upstreamHost, .alone)
            case .upstreamHostPort: (upstreamHost, .port)
            case .upstreamLocal: (upstreamLocal, .whole)
            case .upstreamLocalAlone: (upstreamLocal, .alone)
            case .upstreamLocalPort: (upstreamLocal, .port)
            case .downstreamRemote: (downstreamRemote, .whole)
            case .downstreamRemoteAlone: (downstreamRemote, .alone)
            case .downstreamRemotePort: (downstreamRemote, .port)
            case .downstreamDirect: (downstreamDirectRemote, .whole)
            case .downstreamDirectAlone: (downstreamDirectRemote, .alone)
            case .downstreamDirectPort: (downstreamDirectRemote, .port)
            case .downstreamLocal: (downstreamLocal, .whole)
            case .downstreamLocalAlone: (downstreamLocal, .alone)
            case .downstreamLocalPort: (downstreamLocal, .port)
            default: (nil, .whole)
            }
        guard let address else { return .missing }
        switch part {
        case .whole: output.append(address: address)
        case .alone: output.appendHost(of: address)
        case .port: return Self.append(number: UInt64(address.port), to: &output)
        }
        return .text
    }

    private func appendDetails(_ texts: ExchangeTexts, to output: inout LogBuffer) -> RenderedValue {
        guard details != .none else { return .missing }
        output.append(literal: details.text)
        guard upstreamReset != .none else { return .text }
        output.append(UInt8(ascii: "{"))
        output.append(literal: upstreamReset.text)
        if !texts.upstreamFailure.isEmpty {
            output.append(UInt8(ascii: "|"))
            _ = Self.append(failure: texts.upstreamFailure, to: &output)
        }
        output.append(UInt8(ascii: "}"))
        return .text
    }

    private func appendFlags(isLong: Bool, to output: inout LogBuffer) {
        guard !flags.isEmpty else { return output.append(UInt8(ascii: "-")) }
        var isFirst = true
        for bit in 0..<ResponseFlags.bitCount where flags.rawValue & (1 << UInt32(bit)) != 0 {
            if !isFirst { output.append(UInt8(ascii: ",")) }
            isFirst = false
            output.append(literal: isLong ? ResponseFlags.word(bit: bit) : ResponseFlags.letters(bit: bit))
        }
    }

    /// Why each attempt but the first was made, why none came after the last, and what was only decided.
    private func appendRetries(_ kind: OperatorKind, to output: inout LogBuffer) -> RenderedValue {
        var isFirst = true
        func append(_ word: StaticString) {
            if !isFirst { output.append(UInt8(ascii: ",")) }
            isFirst = false
            output.append(literal: word)
        }
        switch kind {
        case .retryReasons:
            for index in 0..<attemptsKept { if let cause = attempt(index).cause { append(cause.text) } }
        case .retryRefusal: if let retryRefusal { append(retryRefusal.text) }
        default:
            for bit in 0..<ShadowDecisions.bitCount where shadows.rawValue & 1 << UInt16(bit) != 0 {
                append(ShadowDecisions.word(bit: bit))
            }
        }
        return isFirst ? .missing : .text
    }

    private func appendRequestID(_ texts: ExchangeTexts, to output: inout LogBuffer) -> RenderedValue {
        if !texts.requestID.isEmpty { return Self.append(text: texts.requestID, to: &output) }
        guard !requestID.isNone else { return .missing }
        requestID.append(to: &output)
        return .text
    }

    private func appendGRPCStatus(_ kind: OperatorKind, to output: inout LogBuffer) -> RenderedValue {
        guard grpcStatus >= 0 else { return .missing }
        let names = GRPCStatusName.names(grpcStatus)
        guard kind != .grpcStatusNumber, let names else {
            return Self.append(number: UInt64(grpcStatus), to: &output)
        }
        output.append(literal: kind == .grpcStatus ? names.camel : names.snake)
        return .text
    }

    private static func append(milliseconds nanoseconds: Int64, to output: inout LogBuffer) -> RenderedValue {
        guard nanoseconds >= 0 else { return .missing }
        output.append(decimal: Int(nanoseconds / 1_000_000))
        return .number
    }

    private static func append(number: UInt64, to output: inout LogBuffer) -> RenderedValue {
        output.append(decimal: Int(clamping: number))
        return .number
    }

    private static func append(name: StaticString, to output: inout LogBuffer) -> RenderedValue {
        let view = ByteView(name)
        guard !view.equals("-") else { return .missing }
        output.append(view)
        return .text
    }

    private static func append(text: ByteView, to output: inout LogBuffer) -> RenderedValue {
        guard !text.isEmpty else { return .missing }
        output.append(text)
        return .text
    }

    /// A log line's words lie between spaces.
    private static func append(failure: ByteView, to output: inout LogBuffer) -> RenderedValue {
        guard !failure.isEmpty else { return .missing }
        for index in 0..<failure.count {
            output.append(failure[index] == 0x20 ? UInt8(ascii: "_") : failure[index])
        }
        return .text
    }
}

/// The names of gRPC's status codes.
enum GRPCStatusName {
    static func names(_ number: Int8) -> (camel: StaticString, snake: StaticString)? {
        switch number {
        case 0: ("OK", "OK")
        case 1: ("Canceled", "CANCELLED")
        case 2: ("Unknown", "UNKNOWN")
        case 3: ("InvalidArgument", "INVALID_ARGUMENT")
        case 4: ("DeadlineExceeded", "DEADLINE_EXCEEDED")
        case 5: ("NotFound", "NOT_FOUND")
        case 6: ("AlreadyExists", "ALREADY_EXISTS")
        case 7: ("PermissionDenied", "PERMISSION_DENIED")
        case 8: ("ResourceExhausted", "RESOURCE_EXHAUSTED")
        case 9: ("FailedPrecondition", "FAILED_PRECONDITION")
        case 10: ("Aborted", "ABORTED")
        case 11: ("OutOfRange", "OUT_OF_RANGE")
        case 12: ("Unimplemented", "UNIMPLEMENTED")
        case 13: ("Internal", "INTERNAL")
        case 14: ("Unavailable", "UNAVAILABLE")
        case 15: ("DataLoss", "DATA_LOSS")
        case 16: ("Unauthenticated", "UNAUTHENTICATED")
        default: nil
        }
    }
}
