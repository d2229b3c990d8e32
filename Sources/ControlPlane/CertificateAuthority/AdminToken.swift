import Crypto
import Foundation

/// The bearer token of operators: a file of the data directory, made on the first start.
public enum AdminToken {
    private static let file = "admin-token"
    private static let bytesMin = 16

    /// The token that is there, or a new one.
    public static func load(in directory: DataDirectory) throws -> String {
        if let stored = try directory.read(file) {
            let text = String(decoding: stored, as: UTF8.self)
            let token = text.trimmingCharacters(in: .whitespacesAndNewlines)
            guard token.utf8.count >= bytesMin else {
                throw DataDirectory.Failed(
                    description: "\(directory.path)/\(file): is too short; remove it, and a new one is made")
            }
            return token
        }
        let secret = SymmetricKey(size: .bits256).withUnsafeBytes { Data($0) }
        let token = secret.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        try directory.write(file, Data((token + "\n").utf8))
        return token
    }
}
