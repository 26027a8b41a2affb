// The last step: from here on the kernel's code can call, and the first run begins in /mnt/data.

defineProperty(root, "__aca", { __proto__: null, value: handle, writable: false, configurable: false });
attempt(() => process.chdir(DATA));
Module.syncBuiltinESMExports();
