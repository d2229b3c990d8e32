import Foundation
import TestSupport

/// One text of the repository, with and without its comments and literals.
struct SourceFile {
    struct Function {
        let name: String
        let line: Int
        let lines: Int
    }

    /// Relative to the repository's root.
    let path: String
    let raw: [String]
    /// The same lines with comments and the insides of string literals left out.
    let code: [String]

    var name: String { (path as NSString).lastPathComponent }
    var folderName: String { ((path as NSString).deletingLastPathComponent as NSString).lastPathComponent }

    var isGenerated: Bool {
        [".generated.swift", ".pb.swift", ".grpc.swift"].contains { name.hasSuffix($0) }
    }

    init(path: String, text: String) {
        self.path = path
        raw = text.components(separatedBy: "\n")
        code = path.hasSuffix(".swift") ? Self.stripped(raw) : raw
    }

    /// Every text of the repository that is read, once for all tests.
    private static let everything: [SourceFile] = {
        let roots = [
            "Sources", "Tests", "Benchmarks", "docs", "mesh-config", ".ci", "Makefile",
            "README.md", "CHANGELOG.md",
            "Package.swift",
        ]
        var files: [SourceFile] = []
        for root in roots.map({ repositoryRoot.appendingPathComponent($0) }) {
            let walk = FileManager.default.enumerator(
                at: root, includingPropertiesForKeys: [.isRegularFileKey])
            for url in [root] + (walk?.compactMap { $0 as? URL } ?? []) {
                guard (try? url.resourceValues(forKeys: [.isRegularFileKey]))?.isRegularFile == true,
                    let text = try? String(contentsOf: url, encoding: .utf8)
                else { continue }
                files.append(
                    SourceFile(path: String(url.path.dropFirst(repositoryRoot.path.count + 1)), text: text))
            }
        }
        return files.sorted { $0.path < $1.path }
    }()

    /// Swift files under these folders of the repository.
    static func all(under folders: [String]) -> [SourceFile] {
        everything.filter { file in
            file.path.hasSuffix(".swift") && folders.contains { file.path.hasPrefix($0 + "/") }
        }
    }

    /// Every file that is text.
    static var allTexts: [SourceFile] { everything }

    /// The folders of the Swift targets: those directly below a layer's folder, and the benchmarks'.
    static func targetFolders() -> [URL] {
        func folders(in path: String) -> [URL] {
            let url = repositoryRoot.appendingPathComponent(path)
            let all =
                (try? FileManager.default.contentsOfDirectory(at: url, includingPropertiesForKeys: nil)) ?? []
            return all.filter(\.hasDirectoryPath)
        }
        let layers = ["System", "Protocols", "Policy", "Model", "DataPlane", "ControlPlane", "Commands"]
        // Those whose names begin with C and a library's name hold C headers only, and one holds scripts.
        let headers: Set<String> = ["CCAres", "CLinux", "CNGHTTP2", "COpenSSL", "CRE2", "CYAML", "Harness"]
        return (layers.flatMap { folders(in: "Sources/\($0)") } + folders(in: "Benchmarks"))
            .filter { !headers.contains($0.lastPathComponent) }
            .sorted { $0.path < $1.path }
    }

    /// "path:line: text" of the code that matches.
    func lines(matching pattern: String) -> [String] { matches(pattern, in: code) }

    /// The same with comments and literals.
    func rawLines(matching pattern: String) -> [String] { matches(pattern, in: raw) }

    private func matches(_ pattern: String, in lines: [String]) -> [String] {
        guard let expression = try? NSRegularExpression(pattern: pattern, options: .anchorsMatchLines) else {
            return ["bad pattern \(pattern)"]
        }
        let text = lines.joined(separator: "\n") as NSString
        let found = expression.matches(in: text as String, range: NSRange(location: 0, length: text.length))
        return found.map { match in
            let line = text.substring(to: match.range.location).utf8.count { $0 == 0x0a }
            return "\(path):\(line + 1): \(raw[line].trimmingCharacters(in: .whitespaces))"
        }
    }

    /// Names of the types that it declares at its outermost level.
    var topLevelTypes: [String] {
        let declaration = #/^(?:[@\w()]+\s+)*(?:class|struct|enum|actor|protocol|typealias)\s+(\w+)/#
        return code.filter { $0.first?.isLetter == true || $0.first == "@" }
            .compactMap { $0.firstMatch(of: declaration).map { String($0.output.1) } }
    }

    /// Functions, initialisers and deinitialisers.
    func functions() -> [Function] {
        let declaration =
            #/^\s*(?:[@\w()]+\s+)*?(?:func\s+(?<name>[^\s(<]+)|(?<special>init|deinit)\b[?<({\s])/#
        var found: [Function] = []
        for (index, line) in code.enumerated() where line.contains("func ") || line.contains("init") {
            guard let match = line.firstMatch(of: declaration) else { continue }
            let name = match.output.name ?? match.output.special ?? ""
            guard let end = endOfBody(from: index) else { continue }
            found.append(Function(name: String(name), line: index + 1, lines: end - index + 1))
        }
        return found
    }

    /// The line of the brace that closes the first one opened at or after `start`; nil for a declaration without body.
    private func endOfBody(from start: Int) -> Int? {
        var (depth, opened) = (0, false)
        for index in start..<code.count {
            for byte in code[index].utf8 {
                if byte == UInt8(ascii: "{") { (depth, opened) = (depth + 1, true) }
                if byte == UInt8(ascii: "}") { depth -= 1 }
                if opened && depth == 0 { return index }
                if !opened && depth < 0 { return nil }
            }
            if !opened && index > start + 15 { return nil }
        }
        return nil
    }

    /// Works on bytes: with Characters it takes longer than all tests together.
    private static func stripped(_ lines: [String]) -> [String] {
        var (inComment, inText) = (false, false)
        return lines.map { line in
            if !inComment && !inText
                && !line.utf8.contains(where: { $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "/") })
            {
                return line
            }
            let bytes = Array(line.utf8)
            func has(_ mark: String, at index: Int) -> Bool { bytes[index...].starts(with: mark.utf8) }
            if inText {
                if bytes.indices.contains(where: { has("\"\"\"", at: $0) }) { inText = false }
                return ""
            }
            var result: [UInt8] = []
            var (index, inLiteral) = (0, false)
            while index < bytes.count {
                let byte = bytes[index]
                if inComment {
                    if has("*/", at: index) { (inComment, index) = (false, index + 1) }
                } else if inLiteral {
                    if byte == UInt8(ascii: "\\") {
                        index += 1
                    } else if byte == UInt8(ascii: "\"") {
                        inLiteral = false
                    }
                    if !inLiteral { result.append(byte) }
                } else if has("//", at: index) {
                    break
                } else if has("/*", at: index) {
                    inComment = true
                } else if has("\"\"\"", at: index) {
                    inText = true
                    break
                } else {
                    inLiteral = byte == UInt8(ascii: "\"")
                    result.append(byte)
                }
                index += 1
            }
            return String(decoding: result, as: UTF8.self)
        }
    }
}
