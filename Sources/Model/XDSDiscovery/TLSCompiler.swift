import MeshModel
import MeshPrimitives
import XDSSchema

// envoy.extensions.transport_sockets.tls.v3
extension ResourceCompiler {
    /// nil: plain text.
    mutating func upstreamTLS(_ socket: ConfigNode?) -> UpstreamTLS? {
        guard let context = transport(socket, XDS.UpstreamTlsContext.messageType) else { return nil }
        typealias F = XDS.UpstreamTlsContext
        // Envoy's clients stop at 1.2 unless told otherwise.
        return UpstreamTLS(
            settings: settings(context.child(F.commonTlsContext), versionMax: .tls12),
            sni: context.message.text(F.sni))
    }

    mutating func downstreamTLS(_ socket: ConfigNode?) -> DownstreamTLS? {
        guard let context = transport(socket, XDS.DownstreamTlsContext.messageType) else { return nil }
        typealias F = XDS.DownstreamTlsContext
        let tls = DownstreamTLS(
            settings: settings(context.child(F.commonTlsContext), versionMax: .tls13),
            requiresClientCertificate: context.message.wrappedBool(F.requireClientCertificate) ?? false)
        if tls.settings.identity == nil, tls.settings.identityName.isEmpty {
            add("a server needs a certificate", at: context, F.commonTlsContext)
        }
        return tls
    }

    /// Whether a policy in shadow mode would refuse plain text here; nil if the socket says nothing of it.
    func shadowRefusal(_ socket: ConfigNode?) -> Bool? {
        guard let config = socket?.child(XDS.TransportSocket.typedConfig),
            config.type == XDS.MartletPlainText.messageType
        else { return nil }
        return config.message.bool(XDS.MartletPlainText.refusedInShadow)
    }

    private mutating func transport(_ socket: ConfigNode?, _ wanted: MessageType) -> ConfigNode? {
        guard let socket else { return nil }
        guard let context = socket.child(XDS.TransportSocket.typedConfig) else {
            add("is missing", at: socket, XDS.TransportSocket.typedConfig)
            return nil
        }
        if context.type == wanted { return context }
        if context.type != XDS.RawBuffer.messageType {
            add("the type '\(context.type.name)' is not supported here", at: context)
        }
        return nil
    }

    /// `versionMax` holds where the context does not say, unless its minimum is above.
    private mutating func settings(_ node: ConfigNode?, versionMax: TLSVersion) -> TLSSettings {
        typealias F = XDS.CommonTlsContext
        var settings = TLSSettings()
        settings.versionMax = versionMax
        guard let node else { return settings }
        if let parameters = node.child(F.tlsParams) { versions(parameters, into: &settings) }
        settings.alpn = node.message.texts(F.alpnProtocols)
        for name in settings.alpn where name.isEmpty || name.utf8.count > 255 {
            add("'\(name)' is not a protocol's name", at: node, F.alpnProtocols)
        }
        identity(node, into: &settings)
        if let direct = node.child(F.validationContext) {
            apply(validation(direct), to: &settings)
        } else if let secret = node.child(F.validationContextSdsSecretConfig) {
            settings.bundleName = validationSecret(secret, into: &settings)
        } else if let combined = node.child(F.combinedValidationContext) {
            typealias C = XDS.CommonTlsContextCombinedCertificateValidationContext
            if let direct = combined.child(C.defaultValidationContext) {
                apply(validation(direct), to: &settings)
            }
            if let secret = combined.child(C.validationContextSdsSecretConfig) {
                settings.bundleName = validationSecret(secret, into: &settings)
            }
        }
        return settings
    }

    private mutating func versions(_ node: ConfigNode, into settings: inout TLSSettings) {
        typealias F = XDS.TlsParameters
        func version(_ number: FieldNumber, _ fallback: TLSVersion) -> TLSVersion {
            switch node.message.enumerated(number) {
            case 3: .tls12
            case 4: .tls13
            default: fallback
            }
        }
        settings.versionMin = version(F.tlsMinimumProtocolVersion, .tls12)
        settings.versionMax = version(
            F.tlsMaximumProtocolVersion, max(settings.versionMax, settings.versionMin))
        if settings.versionMin > settings.versionMax {
            add("is below the minimum", at: node, F.tlsMaximumProtocolVersion)
        }
        settings.cipherSuites = node.message.texts(F.cipherSuites)
    }

    private mutating func identity(_ node: ConfigNode, into settings: inout TLSSettings) {
        typealias F = XDS.CommonTlsContext
        let certificates = node.children(F.tlsCertificates)
        let secrets = node.children(F.tlsCertificateSdsSecretConfigs)
        if certificates.count + secrets.count > 1 {
            add("one certificate is supported, not \(certificates.count + secrets.count)", at: node)
        }
        if let certificate = certificates.first { settings.identity = keyMaterial(certificate) }
        if let secret = secrets.first {
            settings.identityName = secret.message.text(XDS.SdsSecretConfig.name)
            guard let value = secretValue(secret) else { return }
            guard case .identity(let material) = value else {
                return add("the secret is not a certificate", at: secret, XDS.SdsSecretConfig.name)
            }
            settings.identity = material
        }
    }

    private mutating func validationSecret(_ node: ConfigNode, into settings: inout TLSSettings) -> String {
        if node.message.has(XDS.SdsSecretConfig.sdsConfig) { settings.trustBundlePEM = nil }
        if let value = secretValue(node) {
            if case .validation(let validation) = value {
                apply(validation, to: &settings)
            } else {
                add("the secret is not a validation context", at: node, XDS.SdsSecretConfig.name)
            }
        }
        return node.message.text(XDS.SdsSecretConfig.name)
    }

    /// nil if it has to be fetched. What the proxy itself provides is filled in last, since it is renewed.
    private mutating func secretValue(_ node: ConfigNode) -> SecretValue? {
        typealias F = XDS.SdsSecretConfig
        let name = node.message.text(F.name)
        if node.message.has(F.sdsConfig) {
            if let timeout = adsTimeout(node.child(F.sdsConfig), of: node, F.sdsConfig) {
                secretNames[name] = timeout
            }
            return nil
        }
        if let value = surroundings.secrets[name] { return value }
        add("there is no static secret '\(name)'; add 'sds_config' to fetch it", at: node, F.name)
        return nil
    }

    private func apply(_ validation: SecretValue.Validation, to settings: inout TLSSettings) {
        settings.apply(validation)
    }

    private mutating func validation(_ node: ConfigNode) -> SecretValue.Validation {
        typealias F = XDS.CertificateValidationContext
        var validation = SecretValue.Validation()
        if let source = node.child(F.trustedCa), let bytes = data(source) {
            check(bytes, holds: "CERTIFICATE", at: node, F.trustedCa)
            validation.trustBundlePEM = bytes
        }
        for text in node.message.texts(F.verifyCertificateHash) {
            let hash = text.lowercased().filter { $0 != ":" }
            if hash.utf8.count != 64
                || !hash.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
            {
                add("'\(text)' is not a SHA-256 hash in hexadecimal", at: node, F.verifyCertificateHash)
            }
            validation.certificateHashes.append(hash)
        }
        for matcher in node.children(F.matchTypedSubjectAltNames) {
            typealias M = XDS.SubjectAltNameMatcher
            guard let inner = matcher.child(M.matcher), let match = stringMatch(inner) else { continue }
            refuseRegex(match, at: inner)
            let kind = matcher.message.enumerated(M.sanType)
            if kind == 0 { add("is missing; DNS and URI are supported", at: matcher, M.sanType) }
            validation.subjectNames.append(SubjectNameMatch(kind: kind == 2 ? .dns : .uri, match: match))
        }
        if !validation.subjectNames.isEmpty, validation.trustBundlePEM == nil, !isPartOfCombined(node) {
            add("names mean nothing without 'trusted_ca'", at: node, F.matchTypedSubjectAltNames)
        }
        return validation
    }

    /// A default validation context gets its authority from the secret beside it.
    private func isPartOfCombined(_ node: ConfigNode) -> Bool {
        node.path.text.hasSuffix("default_validation_context")
    }

    private mutating func keyMaterial(_ node: ConfigNode) -> KeyMaterial? {
        typealias F = XDS.TlsCertificate
        guard let chain = node.child(F.certificateChain) else {
            add("is missing", at: node, F.certificateChain)
            return nil
        }
        guard let key = node.child(F.privateKey) else {
            add("is missing", at: node, F.privateKey)
            return nil
        }
        guard let chainBytes = data(chain), let keyBytes = data(key) else { return nil }
        check(chainBytes, holds: "CERTIFICATE", at: node, F.certificateChain)
        check(keyBytes, holds: "PRIVATE KEY", at: node, F.privateKey)
        return KeyMaterial(certificateChainPEM: chainBytes, privateKeyPEM: keyBytes)
    }

    /// Whether it is PEM of that kind at all; what is inside is for the TLS library.
    private mutating func check(
        _ bytes: [UInt8], holds label: String, at node: ConfigNode, _ number: FieldNumber
    ) {
        let lines = bytes.split { $0 == 0x0A || $0 == 0x0D }
        let isThere = lines.contains { line in
            let text = String(decoding: line, as: UTF8.self)
            return text.hasPrefix("-----BEGIN ") && text.contains(label)
        }
        if !isThere { add("has no PEM block '\(label)'", at: node, number) }
    }

    /// envoy.extensions.transport_sockets.tls.v3.Secret
    mutating func secret(_ node: ConfigNode) -> SecretValue? {
        typealias F = XDS.Secret
        if let certificate = node.child(F.tlsCertificate) {
            return keyMaterial(certificate).map(SecretValue.identity)
        }
        if let context = node.child(F.validationContext) {
            if !context.message.has(XDS.CertificateValidationContext.trustedCa) {
                add(
                    "is missing; a secret that trusts everybody is not supported", at: context,
                    XDS.CertificateValidationContext.trustedCa)
            }
            return .validation(validation(context))
        }
        add("needs one of 'tls_certificate', 'validation_context'", at: node)
        return nil
    }
}

extension TLSSettings {
    /// Adds a validation context that came by name: its authority counts, its names are added.
    mutating func apply(_ validation: SecretValue.Validation) {
        if let bundle = validation.trustBundlePEM { trustBundlePEM = bundle }
        subjectNames += validation.subjectNames
        certificateHashes += validation.certificateHashes
    }

    /// Fills in what came by name; false if something has not come, or is of the wrong kind.
    mutating func resolve(_ secret: (String) -> SecretValue?) -> Bool {
        if !identityName.isEmpty, identity == nil {
            guard case .identity(let material) = secret(identityName) else { return false }
            identity = material
        }
        if !bundleName.isEmpty, trustBundlePEM == nil {
            guard case .validation(let validation) = secret(bundleName), validation.trustBundlePEM != nil
            else {
                return false
            }
            apply(validation)
        }
        return true
    }
}
