/** Programs of other people that the tests need, by the Debian package that brings them. */
import { accessSync, constants } from 'node:fs';
import path from 'node:path';

function isExecutable(file) {
    try {
        accessSync(file, constants.X_OK);
        return true;
    } catch {
        return false;
    }
}

/** Where the command is; when it is nowhere, an error that says what to install. */
export function installed(command, debianPackage = command) {
    const folders = [...(process.env.PATH ?? '').split(path.delimiter), '/usr/sbin', '/sbin'];
    const found = folders.filter(Boolean).map((folder) => path.join(folder, command)).find(isExecutable);
    if (!found) throw new Error(`${command} is not on this machine: install the Debian package ${debianPackage}`);
    return found;
}
