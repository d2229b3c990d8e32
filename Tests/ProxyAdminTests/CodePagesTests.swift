import Testing

@testable import MartletProxy

@Suite("Code pages")
struct CodePagesTests {
    @Test("Of a process's mappings only code that cannot be written is chosen")
    func choice() {
        let maps = """
            55d0c0a00000-55d0c0a01000 r--p 00000000 08:01 12   /bin/x
            55d0c0a01000-55d0c0a03000 r-xp 00001000 08:01 12   /bin/x with space
            55d0c0a03000-55d0c0a04000 rw-p 00003000 08:01 12   /bin/x
            55d0c0a04000-55d0c0a05000 rwxp 00003000 08:01 12   /bin/x
            7f0000000000-7f0000001000 r-xp 00000000 00:00 0
            7ffd00000000-7ffd00001000 r-xp 00000000 00:00 0    [vdso]
            rubbish
            """
        #expect(CodePages.codeRanges(Array(maps.utf8)) == [0x55d0_c0a0_1000..<0x55d0_c0a0_3000])
    }

    @Test("The process goes on when its code was given back")
    func goesOn() {
        CodePages.giveBack()
        #expect((0..<100).map { $0 * $0 }.reduce(0, +) == 328_350)
    }
}
