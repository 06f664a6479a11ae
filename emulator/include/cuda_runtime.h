// Nothing to add: the emulator's prelude has it all.
#pragma once
