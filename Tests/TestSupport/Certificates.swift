import Foundation

/// Certificates for one test, made by the `openssl` program: ECDSA P-256, SPIFFE URIs as names.
public struct Certificates: Sendable {
    public let directory: TemporaryDirectory

    public struct Leaf: Sendable {
        public let certificate: String
        public let key: String
    }

    public init(in directory: TemporaryDirectory) { self.directory = directory }

    /// A root of this name; gives the path of its certificate. The key lies beside it.
    @discardableResult
    public func makeAuthority(_ name: String) throws -> String {
        try openssl([
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=\(name)", "-keyout", directory.path("\(name).key"), "-out",
            directory.path("\(name).pem"),
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
        ])
        return directory.path("\(name).pem")
    }

    /// A leaf signed by `authority`, for server and client alike. `days` of -1 makes one that has expired.
    public func makeLeaf(
        _ name: String, by authority: String, uri: String? = nil, dns: String? = nil, days: Int = 1
    ) throws -> Leaf {
        let names = [uri.map { "URI:\($0)" }, dns.map { "DNS:\($0)" }].compactMap(\.self)
        let extensions = try directory.write(
            """
            basicConstraints=critical,CA:FALSE
            keyUsage=critical,digitalSignature
            extendedKeyUsage=serverAuth,clientAuth
            \(names.isEmpty ? "" : "subjectAltName=" + names.joined(separator: ","))
            """, to: "\(name).ext")
        let (key, request) = (directory.path("\(name).key"), directory.path("\(name).csr"))
        try openssl([
            "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
            "/CN=\(name)",
            "-keyout", key, "-out", request,
        ])
        let certificate = directory.path("\(name).pem")
        // `x509 -req` only takes whole days from now on, so an expired leaf needs `ca`'s dates.
        if days > 0 {
            try openssl([
                "x509", "-req", "-in", request, "-CA", directory.path("\(authority).pem"),
                "-CAkey", directory.path("\(authority).key"), "-CAcreateserial", "-days", "\(days)",
                "-extfile", extensions, "-out", certificate,
            ])
        } else {
            try makeExpired(request, certificate, by: authority, extensions: extensions)
        }
        return Leaf(certificate: certificate, key: key)
    }

    private func makeExpired(
        _ request: String, _ certificate: String, by authority: String, extensions: String
    ) throws {
        try directory.write("", to: "index.txt")
        try directory.write("01", to: "serial")
        let configuration = try directory.write(
            """
            [ca]
            default_ca = c
            [c]
            database = \(directory.path("index.txt"))
            serial = \(directory.path("serial"))
            new_certs_dir = \(directory.url.path)
            default_md = sha256
            policy = p
            [p]
            commonName = supplied
            """, to: "ca.cnf")
        try openssl([
            "ca", "-batch", "-config", configuration, "-cert", directory.path("\(authority).pem"),
            "-keyfile", directory.path("\(authority).key"), "-in", request, "-out", certificate, "-notext",
            "-startdate", "20200101000000Z", "-enddate", "20200102000000Z", "-extfile", extensions,
        ])
    }

    private func openssl(_ arguments: [String]) throws {
        let result = try runTool("openssl", arguments)
        guard result.status == 0 else {
            throw TestFailure("openssl \(arguments.joined(separator: " ")): \(result.errors)")
        }
    }
}
