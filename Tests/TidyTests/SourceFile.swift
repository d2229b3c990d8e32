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

    /// Swift files under these folders of the repository; with `anyText` all files that are UTF-8.
    static func all(under folders: [String], anyText: Bool = false) throws -> [SourceFile] {
        var files: [SourceFile] = []
        for folder in folders {
            let root = repositoryRoot.appendingPathComponent(folder)
            var urls = [root]
            if root.hasDirectoryPath || (try? root.checkResourceIsReachable()) == true,
                let walk = FileManager.default.enumerator(
                    at: root, includingPropertiesForKeys: [.isRegularFileKey])
            {
                urls += walk.compactMap { $0 as? URL }
            }
            for url in urls {
                guard anyText || url.pathExtension == "swift",
                    try url.resourceValues(forKeys: [.isRegularFileKey]).isRegularFile == true,
                    let text = try? String(contentsOf: url, encoding: .utf8)
                else { continue }
                files.append(
                    SourceFile(path: String(url.path.dropFirst(repositoryRoot.path.count + 1)), text: text))
            }
        }
        return files.sorted { $0.path < $1.path }
    }

    /// The folders of the Swift targets: those directly below a layer's folder, and the benchmarks'.
    static func targetFolders() throws -> [URL] {
        func folders(in path: String) -> [URL] {
            let url = repositoryRoot.appendingPathComponent(path)
            let all =
                (try? FileManager.default.contentsOfDirectory(at: url, includingPropertiesForKeys: nil)) ?? []
            return all.filter(\.hasDirectoryPath)
        }
        let layers = ["System", "Protocols", "Policy", "Model", "DataPlane", "ControlPlane", "Commands"]
        // Those whose names begin with C and a library's name hold C headers only.
        let headers: Set<String> = ["CLinux", "CNGHTTP2", "COpenSSL", "CYAML"]
        return (layers.flatMap { folders(in: "Sources/\($0)") } + folders(in: "Benchmarks"))
            .filter { !headers.contains($0.lastPathComponent) }
            .sorted { $0.path < $1.path }
    }

    /// "path:line: text" of the code that matches.
    func lines(matching pattern: String) -> [String] { matches(pattern, in: code) }

    /// The same with comments and literals.
    func rawLines(matching pattern: String) -> [String] { matches(pattern, in: raw) }

    private func matches(_ pattern: String, in lines: [String]) -> [String] {
        guard let expression = try? NSRegularExpression(pattern: pattern) else {
            return ["bad pattern \(pattern)"]
        }
        return lines.enumerated().compactMap { index, line in
            let range = NSRange(line.startIndex..., in: line)
            guard expression.firstMatch(in: line, range: range) != nil else { return nil }
            return "\(path):\(index + 1): \(raw[index].trimmingCharacters(in: .whitespaces))"
        }
    }

    /// Functions, initialisers and accessors written with `func`, `init` or `deinit`.
    func functions() -> [Function] {
        let declaration =
            #/^\s*(?:[@\w()]+\s+)*?(?:func\s+(?<name>[^\s(<]+)|(?<special>init|deinit)\b[?<({\s])/#
        var found: [Function] = []
        for (index, line) in code.enumerated() {
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
            for character in code[index] {
                if character == "{" { (depth, opened) = (depth + 1, true) }
                if character == "}" { depth -= 1 }
                if opened && depth == 0 { return index }
                if !opened && depth < 0 { return nil }
            }
            if !opened && index > start + 15 { return nil }
        }
        return nil
    }

    private static func stripped(_ lines: [String]) -> [String] {
        var (inComment, inText) = (false, false)
        return lines.map { line in
            if inText {
                if line.contains("\"\"\"") { inText = false }
                return ""
            }
            var result = ""
            var rest = line[...]
            var inLiteral = false
            while let character = rest.first {
                if inComment {
                    if rest.hasPrefix("*/") { (inComment, rest) = (false, rest.dropFirst()) }
                } else if inLiteral {
                    if character == "\\" {
                        rest = rest.dropFirst()
                    } else if character == "\"" {
                        inLiteral = false
                    }
                    if !inLiteral { result.append("\"") }
                } else if rest.hasPrefix("//") {
                    break
                } else if rest.hasPrefix("/*") {
                    inComment = true
                } else if rest.hasPrefix("\"\"\"") {
                    inText = true
                    break
                } else {
                    inLiteral = character == "\""
                    result.append(character)
                }
                rest = rest.dropFirst()
            }
            return result
        }
    }
}
