// One line for each step. After a step that failed, the rest of its story is left out, and said to be.
export class Report {
  failed = 0;
  passed = 0;

  story(name) {
    let broken = false;
    return async (step, run) => {
      if (broken) {
        console.log(`left out  ${name}: ${step}`);
        return undefined;
      }
      try {
        const result = await run();
        this.passed += 1;
        console.log(`ok        ${name}: ${step}`);
        return result;
      } catch (error) {
        this.failed += 1;
        broken = true;
        console.log(`FAILED    ${name}: ${step}\n${String(error?.stack ?? error).replace(/^/gm, "          ")}`);
        return undefined;
      }
    };
  }

  end(began) {
    const seconds = ((Date.now() - began) / 1000).toFixed(0);
    console.log(`${this.passed} passed, ${this.failed} failed (browser, ${seconds} s)`);
  }
}

/** Fails unless the condition holds. */
export function assert(condition, says) {
  if (!condition) throw new Error(says);
}
