import COpenSSL

/// Memory that OpenSSL reads from or writes to. What it held is wiped when it goes.
@safe struct MemoryBIO: ~Copyable {
    let bio: OpaquePointer

    init?() {
        guard let bio = unsafe BIO_new(BIO_s_mem()) else { return nil }
        unsafe self.bio = bio
    }

    init?(_ bytes: [UInt8]) {
        guard bytes.count <= CInt.max, let bio = unsafe BIO_new(BIO_s_mem()) else { return nil }
        guard unsafe bytes.isEmpty || BIO_write(bio, bytes, CInt(bytes.count)) == bytes.count else {
            unsafe BIO_free_all(bio)
            return nil
        }
        unsafe self.bio = bio
    }

    deinit { unsafe BIO_free_all(bio) }

    var bytes: [UInt8] {
        var start: UnsafeMutablePointer<CChar>?
        let count = unsafe martlet_bio_memory(bio, &start)
        guard let start = unsafe start, count > 0 else { return [] }
        return unsafe [UInt8](UnsafeRawBufferPointer(start: start, count: count))
    }
}

struct PEMFailure: Error {
    let reason: String
}

/// Certificates in order. Owns a reference to each.
@safe struct CertificateList: ~Copyable {
    /// Of a chain that a workload shows, and of a bundle that it trusts (the public web has about 150 roots).
    static let chainMax = 16
    static let bundleMax = 1024

    let stack: OpaquePointer

    /// Reads every certificate of a PEM text; at least one, `max` at the most.
    init(pem: [UInt8], max: Int) throws(PEMFailure) {
        guard let stack = unsafe martlet_certificates_new() else { throw PEMFailure(reason: "out of memory") }
        if let failure = unsafe Self.fill(stack, from: pem, max: max) {
            unsafe martlet_certificates_free(stack)
            throw failure
        }
        unsafe self.stack = stack
    }

    private static func fill(_ stack: OpaquePointer, from pem: [UInt8], max: Int) -> PEMFailure? {
        ErrorQueue.clear()
        guard let input = MemoryBIO(pem) else { return PEMFailure(reason: "out of memory") }
        var count = 0
        while let certificate = unsafe PEM_read_bio_X509(input.bio, nil, refusePassword, nil) {
            defer { unsafe X509_free(certificate) }
            guard count < max else { return PEMFailure(reason: "more than \(max) certificates") }
            guard unsafe martlet_certificates_push(stack, certificate) == 1 else {
                return PEMFailure(reason: "out of memory")
            }
            count += 1
        }
        // The end of the text reads as a missing start line; anything else is a broken block.
        let code = ERR_peek_last_error()
        let isEnd = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE
        ERR_clear_error()
        guard isEnd else { return PEMFailure(reason: ErrorQueue.reason(of: code)) }
        return count > 0 ? nil : PEMFailure(reason: "no certificate in it")
    }

    deinit { unsafe martlet_certificates_free(stack) }

    var count: Int { unsafe Int(max(0, martlet_certificates_count(stack))) }

    /// Borrowed from the list.
    @unsafe subscript(_ index: Int) -> OpaquePointer {
        guard let certificate = unsafe martlet_certificates_at(stack, CInt(index)) else {
            preconditionFailure("no certificate \(index)")
        }
        return unsafe certificate
    }
}

/// A private key, or the public half of one.
@safe struct PrivateKey: ~Copyable {
    let key: OpaquePointer

    init(adopting key: OpaquePointer) { unsafe self.key = key }

    init(pem: [UInt8]) throws(PEMFailure) {
        ErrorQueue.clear()
        guard let input = MemoryBIO(pem) else { throw PEMFailure(reason: "out of memory") }
        guard let key = unsafe PEM_read_bio_PrivateKey(input.bio, nil, refusePassword, nil) else {
            throw PEMFailure(reason: ErrorQueue.takeReason())
        }
        unsafe self.key = key
    }

    deinit { unsafe EVP_PKEY_free(key) }

    func matches(_ certificate: OpaquePointer) -> Bool {
        defer { ErrorQueue.clear() }
        guard let other = unsafe X509_get0_pubkey(certificate) else { return false }
        return unsafe EVP_PKEY_eq(key, other) == 1
    }
}

/// Without this OpenSSL would ask for a password at the terminal.
private func refusePassword(
    _: UnsafeMutablePointer<CChar>?, _: CInt, _: CInt, _: UnsafeMutableRawPointer?
) -> CInt { -1 }

/// A SHA-256 value.
struct Digest: Hashable {
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    static func == (left: Digest, right: Digest) -> Bool { left.words == right.words }

    /// The bytes are a hash already, so that any part of them is one.
    func hash(into hasher: inout Hasher) { hasher.combine(words.0) }

    init?(of certificate: OpaquePointer) {
        let done = unsafe withUnsafeMutableBytes(of: &words) { bytes in
            unsafe X509_digest(
                certificate, EVP_sha256(), bytes.assumingMemoryBound(to: UInt8.self).baseAddress, nil)
        }
        guard done == 1 else { return nil }
    }

    init?(of input: [UInt8]) {
        let done = unsafe withUnsafeMutableBytes(of: &words) { bytes in
            unsafe EVP_Digest(
                input, input.count, bytes.assumingMemoryBound(to: UInt8.self).baseAddress, nil, EVP_sha256(),
                nil)
        }
        guard done == 1 else { return nil }
    }

    /// Of 64 hexadecimal digits, colons between them or not.
    init?(hexadecimal text: String) {
        let digits = text.utf8.filter { $0 != UInt8(ascii: ":") }
        guard digits.count == 64 else { return nil }
        var values: [UInt8] = []
        for index in stride(from: 0, to: 64, by: 2) {
            guard let high = Self.value(digits[index]), let low = Self.value(digits[index + 1]) else {
                return nil
            }
            values.append(high << 4 | low)
        }
        unsafe withUnsafeMutableBytes(of: &words) { unsafe $0.copyBytes(from: values) }
    }

    var bytes: [UInt8] { unsafe withUnsafeBytes(of: words) { unsafe [UInt8]($0) } }

    var hexadecimal: String {
        unsafe withUnsafeBytes(of: words) { bytes in
            unsafe TLSEngine.hexadecimal(bytes.assumingMemoryBound(to: UInt8.self))
        }
    }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case 0x30...0x39: digit - 0x30
        case 0x41...0x46: digit - 0x37
        case 0x61...0x66: digit - 0x57
        default: nil
        }
    }
}

func hexadecimal(_ bytes: UnsafeBufferPointer<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    text.reserveCapacity(bytes.count * 2)
    for index in bytes.indices {
        let byte = unsafe bytes[index]
        text.append(digits[Int(byte >> 4)])
        text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
}
