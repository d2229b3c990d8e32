import COpenSSL
import Glibc

/// What a certificate says, as text and numbers.
public struct CertificateInfo: Equatable, Sendable {
    /// RFC 2253, most specific part first.
    public let subject: String
    public let issuer: String
    public let uriSANs: [String]
    public let dnsSANs: [String]
    /// Seconds since 1970, UTC. Valid from `notBefore` until just before `notAfter`.
    public let notBefore: Int64
    public let notAfter: Int64
    /// Hexadecimal, lower case.
    public let serial: String
    /// SHA-256 of the DER form: 64 hexadecimal digits, lower case.
    public let sha256: String

    /// The first name of the form `spiffe://…`.
    public var spiffeID: String? { uriSANs.first { $0.hasPrefix("spiffe://") } }

    /// The certificates of a PEM text, in order. Other kinds of block are skipped.
    public static func parse(pem: [UInt8]) throws(TLSSettingsError) -> [CertificateInfo] {
        let list: CertificateList
        do throws(PEMFailure) {
            list = try CertificateList(pem: pem, max: CertificateList.bundleMax)
        } catch {
            throw .badCertificate(error.reason)
        }
        var infos: [CertificateInfo] = []
        for index in 0..<list.count { unsafe infos.append(CertificateInfo(list[index])) }
        return infos
    }

    init(_ certificate: OpaquePointer) {
        subject = unsafe Self.text(of: X509_get_subject_name(certificate))
        issuer = unsafe Self.text(of: X509_get_issuer_name(certificate))
        let names = unsafe SubjectNames(of: certificate)
        (uriSANs, dnsSANs) = (names.uris, names.dnsNames)
        let validity = unsafe Validity(of: certificate)
        (notBefore, notAfter) = (validity.notBefore, validity.notAfter)
        serial = unsafe Self.serial(of: certificate)
        sha256 = unsafe Digest(of: certificate)?.hexadecimal ?? ""
    }

    private static func text(of name: OpaquePointer?) -> String {
        guard let name = unsafe name, let output = MemoryBIO() else { return "" }
        guard unsafe martlet_print_name_rfc2253(output.bio, name) >= 0 else { return "" }
        return String(decoding: output.bytes, as: UTF8.self)
    }

    private static func serial(of certificate: OpaquePointer) -> String {
        guard let number = unsafe X509_get0_serialNumber(certificate) else { return "" }
        guard let bytes = unsafe ASN1_STRING_get0_data(number) else { return "" }
        let count = unsafe Int(ASN1_STRING_length(number))
        return unsafe hexadecimal(UnsafeBufferPointer(start: bytes, count: count))
    }
}

/// Seconds since 1970 between which a certificate, or each of a chain, is valid.
struct Validity: Equatable {
    var notBefore: Int64
    var notAfter: Int64

    static let always = Validity(notBefore: .min, notAfter: .max)

    init(notBefore: Int64, notAfter: Int64) { (self.notBefore, self.notAfter) = (notBefore, notAfter) }

    /// A time that cannot be read makes a certificate that is never valid.
    init(of certificate: OpaquePointer) {
        notBefore = unsafe Self.seconds(X509_get0_notBefore(certificate)) ?? .max
        notAfter = unsafe Self.seconds(X509_get0_notAfter(certificate)) ?? .min
    }

    /// As OpenSSL has it: the very second of `notAfter` is too late.
    func contains(_ now: Int64) -> Bool { notBefore <= now && now < notAfter }

    func intersected(with other: Validity) -> Validity {
        Validity(notBefore: max(notBefore, other.notBefore), notAfter: min(notAfter, other.notAfter))
    }

    private static func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64? {
        var parts = unsafe tm()
        guard let time = unsafe time, unsafe ASN1_TIME_to_tm(time, &parts) == 1 else { return nil }
        return unsafe Int64(timegm(&parts))
    }
}

/// The subject alternative names that a mesh looks at. A name with bytes that no URI or host name has (a NUL,
/// a space, anything but ASCII) is left out, and so is everything behind the first `countMax` names.
struct SubjectNames: Equatable {
    static let countMax = 256
    static let bytesMax = 2048

    private(set) var uris: [String] = []
    private(set) var dnsNames: [String] = []

    init(of certificate: OpaquePointer) {
        guard let names = unsafe martlet_subject_names(certificate) else { return }
        defer { unsafe GENERAL_NAMES_free(names) }
        let count = unsafe min(Int(martlet_names_count(names)), Self.countMax)
        for index in 0..<count {
            var (type, length): (CInt, CInt) = (0, 0)
            guard let bytes = unsafe martlet_names_at(names, CInt(index), &type, &length) else { continue }
            guard length > 0, length <= Self.bytesMax else { continue }
            let name = unsafe UnsafeBufferPointer(start: bytes, count: Int(length))
            guard unsafe name.allSatisfy({ (0x21...0x7e).contains($0) }) else { continue }
            let text = unsafe String(decoding: name, as: UTF8.self)
            if type == GEN_URI { uris.append(text) } else { dnsNames.append(text) }
        }
    }
}
