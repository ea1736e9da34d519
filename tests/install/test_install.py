"""What `meson install` leaves behind, as somebody meets it who has nothing else: a release build is configured, built and
installed under a temporary prefix, and programs are compiled and run against the result."""
import functools
import glob
import os
import re
import shutil
import subprocess
import tempfile
import unittest
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
STRICT = ['-Wall', '-Wextra', '-Wpedantic', '-Werror']
C, CC = [*STRICT, '-std=c17', 'program.c'], [*STRICT, '-std=c++17', 'program.cc']
DEADLINE_S = 60

# Only this, so that what the tests were started with (CC, CFLAGS, a sanitizer's options) changes nothing.
ENVIRONMENT = {'PATH': os.environ['PATH'], 'HOME': os.environ.get('HOME', '/'), 'LC_ALL': 'C.UTF-8'}

made = tempfile.TemporaryDirectory(prefix='weft-install-')
prefix = os.path.join(made.name, 'prefix')


def run(*command, **environment):
    """What the command prints; a status other than 0 is a failure that shows all it said."""
    ended = subprocess.run(command, env=ENVIRONMENT | environment, cwd=HERE, text=True, check=False, timeout=DEADLINE_S,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if ended.returncode:
        raise AssertionError(f'status {ended.returncode}: {" ".join(command)}\n{ended.stdout}{ended.stderr}')
    return ended.stdout


def read(*path):
    with open(os.path.join(*path), encoding='utf-8') as file:
        return file.read()


def pkg_config(*options):
    return run('pkg-config', *options, 'weft', PKG_CONFIG_PATH=libdir() + '/pkgconfig').split()


def libdir():
    found = glob.glob(prefix + '/lib*/**/pkgconfig/weft.pc', recursive=True)
    assert len(found) == 1, found
    return os.path.dirname(os.path.dirname(found[0]))


def version():
    return re.search(r'WEFT_VERSION "(.*)"', read(TREE, 'include/weft.h'))[1]


def answers(test, program, **environment):
    """The program prints its address, answers there, and ends by itself."""
    with subprocess.Popen([program], env=ENVIRONMENT | environment, text=True, stdout=subprocess.PIPE) as process:
        try:
            with urllib.request.urlopen(process.stdout.readline().strip(), timeout=DEADLINE_S) as answer:
                test.assertEqual(answer.read(), b'hello')
            test.assertEqual(process.wait(DEADLINE_S), 0)
        finally:
            process.kill()


@functools.cache
def install():
    build = os.path.join(made.name, 'build')
    run('meson', 'setup', '--buildtype=release', '-Dtests=false', '--prefix', prefix, build, TREE)
    run('ninja', '-C', build)
    run('meson', 'install', '-C', build, '--no-rebuild')


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        install()


class Files(Installed):
    def test_header(self):
        for where in [prefix, TREE]:
            self.assertEqual(sorted(os.listdir(where + '/include')), ['weft', 'weft.h'])
        self.assertEqual(sorted(os.listdir(prefix + '/include/weft')), sorted(os.listdir(TREE + '/include/weft')))
        for name in ['weft.h', *('weft/' + name for name in os.listdir(TREE + '/include/weft'))]:
            self.assertEqual(read(prefix, 'include', name), read(TREE, 'include', name))

    def test_libraries(self):
        names = [name for name in os.listdir(libdir()) if name.startswith('libweft')]
        self.assertEqual(sorted(names), ['libweft.a', 'libweft.so', 'libweft.so.0', f'libweft.so.{version()}'])

    def test_soname(self):
        self.assertIn('Library soname: [libweft.so.0]', run('readelf', '-d', libdir() + '/libweft.so'))

    def test_pkg_config(self):
        self.assertEqual(pkg_config('--modversion'), [version()])
        self.assertEqual(pkg_config('--libs'), [f'-L{libdir()}', '-lweft'])
        self.assertIn('-lcrypto', pkg_config('--libs', '--static'))

    def test_examples(self):
        installed = sorted(glob.glob(prefix + '/share/doc/weft/examples/*'))
        names = [os.path.basename(path) for path in glob.glob(TREE + '/examples/*.c')]
        self.assertEqual([os.path.basename(path) for path in installed], sorted(names))
        for path in installed:
            run('cc', *STRICT, '-std=gnu17', path, '-fsyntax-only', *pkg_config('--cflags'))


class Symbols(Installed):
    """What the libraries give away is what the header marks with WEFT_API, and nothing else."""

    def marked(self):
        headers = [prefix + '/include/weft.h', *glob.glob(prefix + '/include/weft/*.h')]
        header = re.sub(r'/\*.*?\*/', '', '\n'.join(map(read, headers)), flags=re.S)
        names = set(re.findall(r'^WEFT_API\s[^;{(]*?(\w+)\(', header, re.M))
        self.assertTrue(names)
        self.assertEqual([name for name in names if not name.startswith('weft_')], [])
        return names

    def defined(self, *command):
        return {line.split()[-1] for line in run('nm', '--defined-only', '--extern-only', *command).splitlines()
                if len(line.split()) == 3}

    def test_shared(self):
        wanted = {name + '@@WEFT_0' for name in self.marked()} | {'WEFT_0'}
        self.assertEqual(self.defined('-D', libdir() + '/libweft.so'), wanted)

    def test_static(self):
        self.assertEqual(self.defined(libdir() + '/libweft.a'), self.marked())

    def test_static_by_clang(self):
        build = os.path.join(made.name, 'clang')
        run('meson', 'setup', '--buildtype=plain', '-Dtests=false', build, TREE, CC='clang')
        run('ninja', '-C', build, 'src/libweft.a')
        self.assertEqual(self.defined(build + '/src/libweft.a'), self.marked())
        program = os.path.join(made.name, 'by-clang')
        libs = [lib for lib in pkg_config('--libs', '--static') if lib != '-lweft']
        run('clang', *C, '-o', program, *pkg_config('--cflags'), build + '/src/libweft.a', *libs)
        answers(self, program)


class Programs(Installed):
    """A program outside the tree compiles without a warning, and runs."""

    def build(self, compiler, *arguments):
        program = os.path.join(made.name, self.id())
        run(compiler, *arguments, '-o', program)
        return program, '[libweft.so.0]' in run('readelf', '-d', program)

    def check_shared(self, compiler, source):
        program, is_shared = self.build(compiler, *source, *pkg_config('--cflags', '--libs'))
        self.assertTrue(is_shared)
        answers(self, program, LD_LIBRARY_PATH=libdir())

    def check_static(self, compiler, source):
        libs = ['-l:libweft.a' if lib == '-lweft' else lib for lib in pkg_config('--libs', '--static')]
        program, is_shared = self.build(compiler, *source, *pkg_config('--cflags'), *libs)
        self.assertFalse(is_shared)
        answers(self, program)

    def test_c_shared(self):
        self.check_shared('cc', C)

    def test_c_static(self):
        self.check_static('cc', C)

    def test_cxx_shared(self):
        self.check_shared('c++', CC)

    def test_cxx_static(self):
        self.check_static('c++', CC)

    def test_as_the_readme_says(self):
        command = re.search(r'`(cc chat\.c \$\(pkg-config [^`]*)`', read(TREE, 'README.md'))[1]
        folder = os.path.join(made.name, 'chat')
        os.mkdir(folder)
        shutil.copy(prefix + '/share/doc/weft/examples/readme.c', folder + '/chat.c')
        run('sh', '-c', f'cd "$1" && {command}', 'sh', folder, PKG_CONFIG_PATH=libdir() + '/pkgconfig')
        self.assertTrue(os.access(folder + '/a.out', os.X_OK))


class Command(Installed):
    def test_runs_wherever_it_is(self):
        moved = shutil.copy(prefix + '/bin/weft', made.name)
        self.assertEqual(run(moved, '--version'), f'weft {version()}\n')

    def help(self, *words):
        return run(prefix + '/bin/weft', *words, '--help')

    def sections(self):
        page = read(prefix, 'share/man/man1/weft.1')
        return page, dict(re.findall(r'^\.Ss (\S+)\n(.*?)(?=^\.S[hs] )', page, re.M | re.S))

    def test_manual_names_its_commands_and_options(self):
        page, described = self.sections()
        commands = re.findall(r'^  ([\w-]+) ', self.help(), re.M)
        self.assertEqual(list(described), commands)
        for command in commands:
            options = re.findall(r'^  (?:-\w, |    )?-(-[\w-]+)', self.help(command), re.M)
            self.assertIn('-help', options)
            if command in ('check-config', 'print-config'):
                self.assertEqual(options, re.findall(r'^  -(-[\w-]+)', self.help('serve'), re.M))
                options = ['-help']
            self.assertEqual(re.findall(r'^\.It Fl (-[\w-]+)', described[command], re.M), options)
            if command != 'serve':
                for option in set(options) - {'-help'}:
                    self.assertRegex(page, rf'(?m)^\.Op Fl {option}\b')

    def settings_of_help(self, command):
        """[(name, value, default)], in order, as the command's help has them."""
        text = re.sub(r'\n {6,}', ' ', self.help(command))
        return re.findall(r'^  --([\w-]+)(?: |\[=)([A-Z]+(?: \.\.\.)?)\]? +.*; default (.*)$', text, re.M)

    def settings_of_manual(self):
        text = self.sections()[1]['serve'].replace(' Ns Oo Cm = Ns Ar PATH Oc', ' Ar PATH')  # --socketio[=PATH]
        return re.findall(r'^\.It Fl -([\w-]+) Ar ([A-Z]+(?: \.\.\.)?)\n(?:(?!\.It).*\n)*?Default: (.*)\.$', text, re.M)

    def settings_of_docs(self):
        rows = re.findall(r'^\| `([\w-]+)` \| ([^|]+) \| ([^|]+) \|', read(TREE, 'docs/server.md'), re.M)
        return [(name, value, default.replace('`', '')) for name, value, default in rows]

    def test_settings_are_the_same_everywhere(self):
        settings = self.settings_of_help('serve')
        self.assertEqual(len(settings), self.help('serve').count('\n  --') - 1)  # --help is none
        self.assertEqual(self.settings_of_help('check-config'), settings)
        self.assertEqual(self.settings_of_manual(), settings)
        self.assertEqual(self.settings_of_docs(), settings)
        printed = re.findall(r'^(?:# )?([\w-]+):(?: (.*?))?  # default(?:: (.*))?$', run(prefix + '/bin/weft', 'print-config'), re.M)
        self.assertEqual([name for name, *_ in printed], [name for name, *_ in settings])
        for (name, value, otherwise), (_, _, default) in zip(printed, settings, strict=True):
            self.assertIn(default, [otherwise, value, value.strip('[]"')], name)

    def test_manual_renders(self):
        for page, title in [('man1/weft.1', 'WEFT(1)'), ('man3/weft.3', 'WEFT(3)')]:
            text = run('mandoc', '-T', 'ascii', '-W', 'warning,stop', f'{prefix}/share/man/{page}')
            self.assertTrue(text.startswith(title), text[:200])
