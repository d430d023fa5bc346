import { describeAttacks } from '../helpers/attacks.js';
import { getOut } from './get-out.attacks.js';

describeAttacks('get out', getOut);
